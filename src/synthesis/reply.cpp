#include "synthesis/reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/joined.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxKeywords = 10, kMinCharacters = 3, kMaxCharacters = 40, kMaxWords = 4;
constexpr std::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
/// Part of a word in any language.
bool in_word(char c) { return is_ascii_letter(c) || is_ascii_digit(c) || static_cast<unsigned char>(c) >= 0x80; }

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

/// The word that begins at or after `at`, and where it ends.
struct Word {
  std::string lower;
  std::size_t begin, end;
};
Word next_word(std::string_view text, std::size_t at) {
  while (at < text.size() && !in_word(text[at])) ++at;
  std::size_t end = at;
  while (end < text.size() && in_word(text[end])) ++end;
  return {ascii_lower(text.substr(at, end - at)), at, end};
}

/// Words that make "no" in front of them no verdict, where only a space stands between.
bool denies_verdict(std::string_view word) {
  constexpr std::array<std::string_view, 8> kWords = {"doubt", "question", "wonder",   "problem",
                                                      "one",   "matter",   "surprise", "worries"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

struct Verdict {
  bool yes;
  std::size_t end;  ///< of the word
};

std::optional<Verdict> verdict_at(std::string_view text, std::size_t at) {
  const Word word = next_word(text, at);
  if (word.lower == "yes") return Verdict{true, word.end};
  if (word.lower != "no") return std::nullopt;
  const Word next = next_word(text, word.end);
  if (next.begin == word.end + 1 && text[word.end] == ' ' && denies_verdict(next.lower)) return std::nullopt;
  return Verdict{false, word.end};
}

/// "answer: **Yes**", "prediction is no": the last of them.
std::optional<Verdict> labelled_verdict(std::string_view text) {
  constexpr std::array<std::string_view, 5> kLabels = {"answer", "prediction", "verdict", "response", "conclusion"};
  std::optional<Verdict> found;
  for (Word word = next_word(text, 0); word.begin < text.size(); word = next_word(text, word.end)) {
    if (std::find(kLabels.begin(), kLabels.end(), word.lower) == kLabels.end()) continue;
    std::size_t at = word.end;
    while (at < text.size() && (text[at] == ' ' || text[at] == '*')) ++at;
    if (at < text.size() && text[at] == ':') {
      ++at;
    } else if (const Word is = next_word(text, at); is.begin == at && is.lower == "is") {
      at = is.end;
    } else {
      continue;
    }
    if (const auto verdict = verdict_at(text, at)) found = verdict;
  }
  return found;
}

/// Behind a leading verdict and the marks that belong to it ("**Yes**, "); 0 without one.
std::size_t behind_verdict(std::string_view reply) {
  const auto verdict = verdict_at(reply, 0);
  if (!verdict) return 0;
  constexpr std::string_view kMarks = "*\",.!:; \n\t\r-";
  const std::size_t end = reply.find_first_not_of(kMarks, verdict->end);
  return end == std::string_view::npos ? reply.size() : end;
}

std::string collapsed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_blank(c)) out += c;
    if (is_blank(c) && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

std::int64_t words_of(std::string_view text) {
  return text.empty() ? 0 : 1 + static_cast<std::int64_t>(std::count(text.begin(), text.end(), ' '));
}

/// The dot at `at` ends "Mr.", "vs.", an initial and the like.
bool abbreviates(std::string_view text, std::size_t at) {
  constexpr std::array<std::string_view, 7> kShort = {"mr", "mrs", "ms", "dr", "jr", "st", "vs"};
  std::size_t begin = at;
  while (begin > 0 && in_word(text[begin - 1])) --begin;
  const std::string word = ascii_lower(text.substr(begin, at - begin));
  const bool initial = word.size() == 1 && is_ascii_letter(word[0]);
  return text[at] == '.' && (initial || std::find(kShort.begin(), kShort.end(), word) != kShort.end());
}

/// Where the sentence ends whose mark stands at `at`, with the quotation marks and brackets that close behind it; 0 where none ends:
/// in a number, in a title and at its end (`quoted`: the mark stands between quotation marks), behind an abbreviation.
std::size_t sentence_end(std::string_view text, std::size_t at, bool quoted) {
  constexpr std::array<std::string_view, 7> kClosing = {"\"", ")", "]", "'", "*", "\xe2\x80\x9d", "\xe2\x80\x99"};
  if (text[at] != '.' && text[at] != '!' && text[at] != '?') return 0;
  std::size_t end = at + 1;
  bool open = quoted;
  const auto closing = [&] {
    return std::find_if(kClosing.begin(), kClosing.end(), [&](auto mark) { return text.substr(end).starts_with(mark); });
  };
  for (auto mark = closing(); mark != kClosing.end(); mark = closing()) {
    if (*mark == "\"") open = !open;
    end += mark->size();
  }
  const bool last = end == text.size();
  if (!last && text[end] != ' ') return 0;
  if (quoted) return !open && (last || (text[end + 1] >= 'A' && text[end + 1] <= 'Z')) ? end : 0;  // "Roger Rabbit?" and
  if (!last && abbreviates(text, at)) return 0;
  return open ? at + 1 : end;  // what nothing has opened is left out
}

/// Behind the last full sentence, within so many words (0: any); 0 when there is none. `text` is collapsed.
std::size_t last_sentence(std::string_view text, std::int64_t max_words) {
  std::int64_t words = 1;
  std::size_t end = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == ' ' && ++words > max_words && max_words > 0) break;
    if (text[at] == '"') quoted = at == 0 || text[at - 1] == ' ' || text[at - 1] == '(' || text[at - 1] == '*';
    if (const std::size_t found = sentence_end(text, at, quoted); found > 0) end = found;
  }
  return end;
}

bool is_stop_word(std::string_view word) {
  static constexpr std::array<std::string_view, 72> kStopWords = {
      "a",        "about", "after", "all",      "also",        "an",   "and",  "any",  "are",   "as",    "at",   "be",
      "been",     "but",   "by",    "can",      "could",       "each", "for",  "from", "had",   "has",   "have", "he",
      "her",      "here",  "his",   "how",      "i",           "if",   "in",   "into", "is",    "it",    "its",  "keyword",
      "keywords", "me",    "more",  "most",     "my",          "no",   "none", "not",  "of",    "on",    "or",   "other",
      "our",      "out",   "she",   "so",       "some",        "such", "than", "that", "the",   "their", "them", "they",
      "this",     "to",    "title", "category", "description", "was",  "we",   "were", "which", "with",  "you",  "your"};
  return std::find(kStopWords.begin(), kStopWords.end(), word) != kStopWords.end();
}

/// "1980", "3.5", "1st", "22nd": what has digits and at most an ordinal's ending beside them.
bool is_number_word(std::string_view word) {
  std::string letters;
  bool digits = false;
  for (const char c : word) {
    if (is_ascii_digit(c)) {
      digits = true;
    } else if (in_word(c)) {
      letters += c;
    }
  }
  return digits &&
         (letters.empty() || letters == "st" || letters == "nd" || letters == "rd" || letters == "th" || letters == "s");
}

bool is_ordinal_word(std::string_view word) {
  constexpr std::array<std::string_view, 10> kOrdinals = {"first", "second",  "third",  "fourth", "fifth",
                                                          "sixth", "seventh", "eighth", "ninth",  "tenth"};
  return std::find(kOrdinals.begin(), kOrdinals.end(), word) != kOrdinals.end();
}

std::string lower_utf8(std::string_view text) {
  std::string out;
  for (const char32_t c : decode_utf8(text)) append_utf8(out, lower_case(c));
  return out;
}

/// One candidate as a keyword, or the empty text.
std::string keyword_of(std::string_view part) {
  std::vector<std::string> words;
  const std::string lower = lower_utf8(part);
  for (std::size_t at = 0; at < lower.size();) {
    while (at < lower.size() && is_blank(lower[at])) ++at;
    std::size_t end = at;
    while (end < lower.size() && !is_blank(lower[end])) ++end;
    std::size_t first = at, last = end;  // without punctuation around
    while (first < last && !in_word(lower[first])) ++first;
    while (last > first && !in_word(lower[last - 1])) --last;
    std::string word = lower.substr(first, last - first);
    if (!word.empty() && !is_number_word(word) && !is_ordinal_word(word)) words.push_back(std::move(word));
    at = end;
  }
  while (!words.empty() && is_stop_word(words.back())) words.pop_back();
  while (!words.empty() && is_stop_word(words.front())) words.erase(words.begin());
  std::string keyword = joined(words, " ");
  const std::size_t length = decode_utf8(keyword).size();
  return words.size() > kMaxWords || length < kMinCharacters || length > kMaxCharacters ? "" : keyword;
}

}  // namespace

std::optional<bool> parse_verdict(std::string_view reply) {
  auto verdict = verdict_at(reply, 0);
  if (!verdict) verdict = labelled_verdict(reply);
  if (!verdict) return std::nullopt;
  return verdict->yes;
}

std::string clean_reason(std::string_view reply, bool verdict, const ReasonBounds& bounds) {
  std::string text = collapsed(reply.substr(behind_verdict(reply)));
  constexpr std::string_view kBecause = "because ";
  if (text.starts_with(kBecause)) text.erase(0, kBecause.size());
  constexpr std::size_t kShortestSentence = 22;
  if (const std::size_t end = last_sentence(text, 0); end >= kShortestSentence) text.resize(end);
  if (bounds.max_words > 0 && words_of(text) > bounds.max_words) text.resize(last_sentence(text, bounds.max_words));
  if (text.empty() || words_of(text) < bounds.min_words) return "";
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - ('a' - 'A'));
  return fmt::format("{}. {}", verdict ? "Yes" : "No", text);
}

std::string clean_keywords(std::string_view reply) {
  const std::string lower = ascii_lower(reply);  // of the same length
  if (const std::size_t at = lower.rfind("keywords:"); at != std::string::npos) reply.remove_prefix(at + 9);
  std::vector<std::string> keywords;
  for (std::size_t begin = 0; begin <= reply.size() && keywords.size() < kMaxKeywords;) {
    const std::size_t end = std::min(reply.find_first_of(",;|\n", begin), reply.size());
    std::string keyword = keyword_of(reply.substr(begin, end - begin));
    if (!keyword.empty() && std::find(keywords.begin(), keywords.end(), keyword) == keywords.end())
      keywords.push_back(std::move(keyword));
    begin = end + 1;
  }
  return joined(keywords, ", ");
}

void separate_thinking(ChatReply& reply) {
  const std::size_t begin = std::min(reply.text.find_first_not_of(" \n\t\r"), reply.text.size());
  if (std::string_view(reply.text).substr(begin).starts_with(kThinkBegin)) {
    const std::size_t from = begin + kThinkBegin.size(), end = reply.text.find(kThinkEnd, from);
    reply.thinking = reply.text.substr(from, end == std::string::npos ? end : end - from);
    reply.text = end == std::string::npos ? "" : reply.text.substr(end + kThinkEnd.size());
  }
  reply.text = encode_utf8(decode_utf8(reply.text));
  reply.thinking = encode_utf8(decode_utf8(reply.thinking));
}

}  // namespace thinkrec
