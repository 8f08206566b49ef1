#include "synthesis/reply.h"

#include <gtest/gtest.h>

#include "data/special_texts.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

TEST(Verdict, IsTheFirstWordOrALabelledOne) {
  EXPECT_EQ(parse_verdict("Yes, they would."), true);
  EXPECT_EQ(parse_verdict("  **No**. Because"), false);
  EXPECT_EQ(parse_verdict("\"yes\""), true);
  EXPECT_EQ(parse_verdict("No the user would not"), false);
  EXPECT_EQ(parse_verdict("They like war films.\n\n**Answer: No**"), false);
  EXPECT_EQ(parse_verdict("The answer: yes. On reflection my final answer is No."), false);
  EXPECT_EQ(parse_verdict("My prediction is \"Yes\"."), true);
  EXPECT_EQ(parse_verdict("**Answer**: Yes"), true);
}

TEST(Verdict, IsNoSubstring) {
  for (const char* none : {"", "Not sure", "Now", "Nothing", "I say Yes", "Yesterday", "42 Yes", "No doubt they would love it",
                           "No one knows", "The answer depends: yes or no", "answers: yes", "\xc3\xa9Yes", "Yes\xc3\xa9"})
    EXPECT_EQ(parse_verdict(none), std::nullopt) << none;
  EXPECT_EQ(parse_verdict("No. Doubt remains"), false);
}

TEST(Reason, IsCleanedAndCutAtASentence) {
  EXPECT_EQ(clean_reason("Yes, the user  likes\nfilms like this one. And then it", true),
            "Yes. The user likes films like this one.");
  EXPECT_EQ(clean_reason("No. too dark", false), "No. Too dark");
  EXPECT_EQ(clean_reason("No, because the user disliked \"It\".", false), "No. The user disliked \"It\".");
  EXPECT_EQ(clean_reason("Yes.", true), "");
  EXPECT_EQ(clean_reason("They like war.\nAnswer: Yes", true), "Yes. They like war. Answer: Yes");
}

TEST(Reason, IsNotCutInATitleANumberOrAnAbbreviation) {
  for (const std::string text :
       {"The user liked \"Mr. Smith Goes to Washington\" and \"E.T. the Extra-Terrestrial\" which",
        "The user liked \"Who Framed Roger Rabbit?\" and other films", "The user liked films of 4.5 stars",
        "The user liked J. R. R. Tolkien, Mr. Smith vs. the rest and E.T. of Dr. Who",
        "The user liked others more than \"Airplane!\" (1980) and \"E.T."}) {
    EXPECT_EQ(clean_reason("Yes. " + text, true), "Yes. " + text);
    EXPECT_EQ(clean_reason("Yes. The user likes such films. " + text, true), "Yes. The user likes such films.");
    EXPECT_EQ(clean_reason("Yes. They like it. " + text, true, {1, 6}), "Yes. They like it.");
  }
}

TEST(Reason, KeepsWhatClosesBehindItsLastSentence) {
  for (const std::string text : {"The user liked \"Alien\" and \"Heat.\"", "The user liked crime films (such as \"Heat.\")",
                                 "The user liked it (a crime film.)", "The user said: \"It is great!\"",
                                 "The user liked \xe2\x80\x9cHeat and Alien.\xe2\x80\x9d", "**The user likes such films.**"}) {
    EXPECT_EQ(clean_reason("Yes, because " + text, true), "Yes. " + text);
    EXPECT_EQ(clean_reason("Yes, because " + text + " And then it", true), "Yes. " + text);
  }
  EXPECT_EQ(clean_reason("\"Yes, the user likes films like it.\"", true), "Yes. The user likes films like it.");
  const std::string two = "Yes. The user liked \"Mr. Bean.\" It is of the same kind.";
  EXPECT_EQ(clean_reason(two, true, {1, 6}), "Yes. The user liked \"Mr. Bean.\"");
  EXPECT_EQ(clean_reason(two, true, {1, 4}), "");
}

TEST(Reason, IsHeldToItsBounds) {
  const std::string reply = "Yes. One two three. Four 4.5 five six. Seven eight nine ten.";
  EXPECT_EQ(clean_reason(reply, true, {1, 7}), "Yes. One two three. Four 4.5 five six.");
  EXPECT_EQ(clean_reason(reply, true, {1, 5}), "Yes. One two three.");
  EXPECT_EQ(clean_reason(reply, true, {1, 2}), "");   // no sentence is so short
  EXPECT_EQ(clean_reason(reply, true, {12, 0}), "");  // 11 words
  EXPECT_EQ(clean_reason(reply, true, {11, 11}), reply);
  EXPECT_EQ(clean_reason(reply, true, {5, 5}), "");  // what is cut is too short
}

TEST(Keywords, AreCleanedInOrder) {
  EXPECT_EQ(clean_keywords("Keywords: Space Opera, the Empire, ROBOTS, robots, 1977, 3rd, sci-fi"),
            "space opera, empire, robots, sci-fi");
  EXPECT_EQ(clean_keywords("1. Drama\n2. War Film\n3. World War 2 (1944)\n"), "drama, war film, world war");
  EXPECT_EQ(clean_keywords("- \"Lord of the Rings\"; *elves* | a, an, of, it"), "lord of the rings, elves");
  EXPECT_EQ(clean_keywords("the first book, second, 22nd century, the 1990s, ox"), "book, century");
  EXPECT_EQ(clean_keywords("\xc3\x89MILE, caf\xc3\xa9 noir"), "\xc3\xa9mile, caf\xc3\xa9 noir");
  EXPECT_EQ(clean_keywords("The keywords are: Keywords: alpha, beta"), "alpha, beta");
}

TEST(Keywords, AreTenAtMostAndNoSentences) {
  EXPECT_EQ(clean_keywords("aaa,bbb,ccc,ddd,eee,fff,ggg,hhh,iii,jjj,kkk,lll"),
            "aaa, bbb, ccc, ddd, eee, fff, ggg, hhh, iii, jjj");
  EXPECT_EQ(clean_keywords("I am sorry but I cannot help you with that"), "");
  EXPECT_EQ(clean_keywords(std::string(41, 'a')), "");
  EXPECT_EQ(clean_keywords(std::string(40, 'a')), std::string(40, 'a'));
  for (const char* nothing : {"", "Keywords:", ",,;|\n", "12, 7th, a"}) EXPECT_EQ(clean_keywords(nothing), "") << nothing;
}

TEST(Keywords, KeepTheListApart) {  // whatever a reply looks like, what is made of it splits into at most ten again
  for (const char* text : kTextsThatLookSpecial) {
    const std::string keywords = clean_keywords(text);
    EXPECT_EQ(clean_keywords(keywords), keywords) << text;
    EXPECT_EQ(keywords.find_first_of("\n|;"), std::string::npos) << text;
  }
}

TEST(Thinking, IsTakenOffTheReply) {
  ChatReply reply;
  reply.text = "\n<think>They like war.\n</think>\n\nYes. War.";
  separate_thinking(reply);
  EXPECT_EQ(reply.thinking, "They like war.\n");
  EXPECT_EQ(reply.text, "\n\nYes. War.");
  reply = {};
  reply.text = "<think>never ends";
  separate_thinking(reply);
  EXPECT_EQ(reply.thinking, "never ends");
  EXPECT_EQ(reply.text, "");
  reply = {};
  reply.text = "Yes. <think> is plain here";
  reply.thinking = "as the server has it";
  separate_thinking(reply);
  EXPECT_EQ(reply.thinking, "as the server has it");
  EXPECT_EQ(reply.text, "Yes. <think> is plain here");
}

TEST(Thinking, IsValidUtf8) {
  ChatReply reply;
  reply.text = "<think>caf\xc3</think>Yes \xff";
  separate_thinking(reply);
  EXPECT_EQ(reply.thinking, "caf\xef\xbf\xbd");
  EXPECT_EQ(reply.text, "Yes \xef\xbf\xbd");
}

}  // namespace
}  // namespace thinkrec
