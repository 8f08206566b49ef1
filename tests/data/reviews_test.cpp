// Amazon's and Yelp's exports on small files of their real shapes, and every refusal with its code and place.

#include "core/joined.h"
#include "data/data_testing.h"
#include "data/formats/dates.h"
#include "data/formats/html_text.h"

namespace thinkrec {
namespace {

std::vector<std::string> ids(const Dataset& d) {
  std::vector<std::string> out;
  for (const Item& item : d.items) out.push_back(item.id);
  return out;
}

const Item& item_called(const Dataset& d, const std::string& id) {
  const auto found = std::find_if(d.items.begin(), d.items.end(), [&](const Item& item) { return item.id == id; });
  if (found == d.items.end()) throw std::runtime_error("no item " + id);
  return *found;
}

// --- amazon ---

std::string review(const std::string& user, const std::string& item, const std::string& stars, const std::string& time) {
  return fmt::format(
      "{{\"overall\": {}, \"vote\": \"2\", \"verified\": true, \"reviewTime\": \"03 6, 2017\", \"reviewerID\": \"{}\", \"asin\": "
      "\"{}\", \"style\": {{\"Format:\": \" Hardcover\"}}, \"reviewerName\": \"X\", \"reviewText\": \"So \\\"good\\\".\", "
      "\"summary\": \"Five\", \"unixReviewTime\": {}}}\n",
      stars, user, item, time);
}

constexpr std::int64_t kMarch = 1488758400;     // 2017-03-06
constexpr std::int64_t kNovember = 1509926400;  // 2017-11-06
constexpr std::int64_t kDay = 86400;

class Amazon : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write(
        "meta_Books.json",
        "{\"category\": [\"Books\", \"Children's Books\", \"Animals &amp; Bugs\"], \"tech1\": \"\", \"description\": [\"Two <b>kittens</b>\", \"and a fish.\"], "
        "\"title\": \"Mog&#39;s <i>Kittens</i> &amp; Co\", \"brand\": \"Visit Amazon's Judith Kerr Page\", \"rank\": "
        "\"1,042 in Books (\", \"price\": \"$7.15\", \"asin\": \"B1\"}\n"
        "{\"category\": [\"Books\"], \"title\": \"Dune\", \"brand\": \"Frank Herbert\", \"asin\": \"B2\"}\n"
        "{\"category\": [], \"title\": \"var aPageStart = (new Date()).getTime();\", \"asin\": \"B3\"}\n"
        "{\"title\": \"Unread\", \"asin\": \"B4\"}\n"
        "{\"category\": [\"Books\"], \"title\": \"Dune, again\", \"brand\": \"Other\", \"asin\": \"B2\"}\n"
        "{\"category\": [\"Books\", \"Late\"], \"title\": \"Ulysses\", \"asin\": \"B3\"}\n");
    write_reviews({review("ann", "B2", "5.0", "1488758400"), review("bob", "B1", "4.0", "1488844800"),
                   review("ann", "B9", "5.0", "1488844800"), review("ann", "B1", "5", "1509926400"),
                   review("bob", "B3", "3.0", "1510012800"), review("cy", "B1", "5.0", "1400000000"),
                   review("cy", "B1", "5.0", "1514764800")});
  }
  void write_reviews(const std::vector<std::string>& reviews) const { folder_.write("Books_5.json", joined(reviews, "")); }
  PrepareOptions options() const {
    PrepareOptions options = default_options("amazon");
    options.input = folder_.path();
    options.min_interactions = 0;
    return options;
  }
  void refuse(const std::vector<std::string>& parts) const {
    expect_error(ExitCode::kBadData, parts, [&] { prepare(options()); });
  }
  Folder folder_;
};

TEST_F(Amazon, Reads) {
  const Dataset d = prepare(options());
  EXPECT_EQ(d.users, (std::vector<std::string>{"ann", "bob"}));  // cy's reviews are not of 2017
  EXPECT_EQ(ids(d), (std::vector<std::string>{"B1", "B2", "B3", "B9"}));
  EXPECT_EQ(d.items[0].title, "Mog's Kittens & Co");
  EXPECT_EQ(d.items[0].keywords, "Judith Kerr, Children's Books, Animals & Bugs");
  EXPECT_EQ(d.items[0].profile, "Category: Books, Children's Books, Animals & Bugs. Description: Two kittens and a fish.");
  EXPECT_EQ(d.items[1].title, "Dune");
  EXPECT_EQ(d.items[1].keywords, "Frank Herbert, Books");
  EXPECT_EQ(d.items[2].title, "Ulysses");  // its first record has a script for a title
  EXPECT_EQ(d.items[2].keywords, "Late");
  EXPECT_EQ(d.items[3].title, "B9");  // not in the metadata
  EXPECT_EQ(d.items[3].keywords, "");
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{kMarch, kMarch + kDay, kNovember, kMarch + kDay, kNovember + kDay}));
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 1, 1, 0, 0}));
  EXPECT_EQ(d.rows(Split::kTrain), (std::vector<std::int64_t>{0, 1, 3}));
  EXPECT_EQ(d.rows(Split::kValid), std::vector<std::int64_t>{2});
  EXPECT_EQ(d.rows(Split::kTest), std::vector<std::int64_t>{4});
  EXPECT_EQ(d.noun.plural, "books");
  EXPECT_EQ(d.threshold, 5);
  EXPECT_EQ(d.source_hash.size(), 64u);
}

TEST_F(Amazon, Counts) {
  folder_.write("meta_Books.json",
                "{\"title\": \"A\", \"asin\": \"B1\"}\n{\"title\": null, \"asin\": \"B2\"}\n"
                "{\"title\": \"<br>\", \"asin\": \"B2\"}\n{\"title\": \"B\", \"asin\": \"B1\"}\n");
  const RawData raw = find_format("amazon").read(options());
  EXPECT_EQ(raw.untitled_items, 1);
  EXPECT_EQ(raw.unlisted_items, 2);
  EXPECT_EQ(raw.relisted_items, 2);
  EXPECT_EQ(raw.dropped_interactions, 0);
  EXPECT_EQ(raw.user.size(), 5u);
}

TEST_F(Amazon, GzipInMembersGivesTheSameData) {
  const Dataset plain = prepare(options());
  const auto pack = [&](const std::string& name) {
    const std::string text = read_bytes(folder_.path(name));
    const std::size_t half = text.size() / 2;  // within a line
    folder_.write_gzip("1.gz", text.substr(0, half));
    folder_.write_gzip("2.gz", text.substr(half));
    folder_.write(name + ".gz", read_bytes(folder_.path("1.gz")) + read_bytes(folder_.path("2.gz")));
    for (const char* part : {"1.gz", "2.gz"}) folder_.remove(part);
    const std::string beside = prepare(options()).source_hash;
    folder_.remove(name);
    EXPECT_NE(prepare(options()).source_hash, beside);  // the plain file went first
  };
  pack("Books_5.json");
  pack("meta_Books.json");
  Dataset zipped = prepare(options());
  zipped.source_hash = plain.source_hash;
  expect_equal(zipped, plain);
  const std::string packed = read_bytes(folder_.path("Books_5.json.gz"));
  folder_.write("Books_5.json.gz", packed.substr(0, packed.size() - 20));
  refuse({"Books_5.json.gz:", "truncated"});
}

TEST_F(Amazon, Settings) {
  PrepareOptions wide = options();
  wide.window_start.reset();
  wide.window_end.reset();
  wide.keep_unrated_items = true;
  wide.strip_year = true;
  folder_.write("meta_Books.json", "{\"title\": \"Dune (1965)\", \"asin\": \"B2\"}\n{\"title\": \"Unread\", \"asin\": \"B4\"}\n");
  Dataset d = prepare(wide);
  EXPECT_EQ(d.interactions(), 7);
  EXPECT_EQ(ids(d), (std::vector<std::string>{"B2", "B4", "B1", "B9", "B3"}));
  EXPECT_EQ(d.items[0].title, "Dune");

  PrepareOptions drop = options();
  drop.unknown_items = UnknownItems::kDrop;
  SetUp();
  d = prepare(drop);
  EXPECT_EQ(d.interactions(), 4);
  EXPECT_EQ(find_format("amazon").read(drop).dropped_interactions, 1);
  EXPECT_EQ(find_format("amazon").read(drop).unlisted_items, 0);
  drop.keep_unrated_items = true;
  const auto left = ids(prepare(drop));
  EXPECT_EQ(std::ranges::find(left, "B9"), left.end()) << "an item that is in no file";
  drop.keep_unrated_items = false;
  write_reviews({review("ann", "B9", "5.0", "1488758400")});
  expect_error(ExitCode::kBadData, {"Books_5.json", "all 1 are of unknown items"}, [&] { prepare(drop); });
  drop.unknown_items = UnknownItems::kRefuse;
  expect_error(ExitCode::kBadData, {"Books_5.json", "'B9'", "review 1", "meta_Books.json", "--unknown-items"},
               [&] { prepare(drop); });
}

/// Texts are read only of what the counts leave; an unlisted item below them is nobody's concern.
TEST_F(Amazon, ItemsBelowTheCountsAreNotRead) {
  write_reviews({review("ann", "B2", "5.0", "1488758400"), review("bob", "B2", "5.0", "1488758401"),
                 review("ann", "B2", "5.0", "1509926400"), review("bob", "B2", "4.0", "1510012800"),
                 review("cy", "B9", "5.0", "1488758400")});
  folder_.write("meta_Books.json", "{\"title\": 5, \"asin\": \"B9\"}\n{\"title\": \"Dune\", \"asin\": \"B2\"}\n");
  PrepareOptions counted = options();
  counted.min_interactions = 1;
  counted.unknown_items = UnknownItems::kRefuse;
  const Dataset d = prepare(counted);
  EXPECT_EQ(d.interactions(), 4);
  EXPECT_EQ(d.users, (std::vector<std::string>{"ann", "bob"}));
  EXPECT_EQ(ids(d), std::vector<std::string>{"B2"});
}

TEST_F(Amazon, OtherCategoriesAreItems) {
  std::filesystem::rename(folder_.path("meta_Books.json"), folder_.path("meta_All_Beauty.json"));
  EXPECT_EQ(prepare(options()).noun.plural, "items");
}

TEST_F(Amazon, RefusedReviews) {
  const auto with = [&](const std::string& line, const std::vector<std::string>& parts) {
    write_reviews({review("ann", "B2", "5.0", "1488758400"), line});
    refuse(parts);
  };
  with("{'overall': 5.0}\n", {"Books_5.json:2", "not valid JSON at byte 2", "correct the line or remove it"});
  with(review("", "B2", "5", "1488758400"), {"Books_5.json:2", "an id is empty"});
  with(review("ann", "", "5", "1488758400"), {"Books_5.json:2", "an id is empty"});
  with(review("ann", "B2", "\"five\"", "1488758400"), {"Books_5.json:2", "'overall' is not a number"});
  with(review("ann", "B2", "5", "1488758400.5"), {"Books_5.json:2", "'unixReviewTime' is not a whole number"});
  with("{\"asin\": \"B2\", \"overall\": 5, \"unixReviewTime\": 1488758400}\n", {"Books_5.json:2", "there is no 'reviewerID'"});
  with("{\"reviewerID\": \"ann\", \"overall\": 5, \"unixReviewTime\": 1488758400}\n", {"there is no 'asin'"});
  with("{\"reviewerID\": \"ann\", \"asin\": \"B2\", \"unixReviewTime\": 1488758400}\n", {"there is no 'overall'"});
  with("{\"reviewerID\": \"ann\", \"asin\": \"B2\", \"overall\": 5}\n", {"there is no 'unixReviewTime'"});
  write_reviews({"\n"});
  refuse({"Books_5.json", "there are no reviews"});
  write_reviews({review("ann", "B2", "5.0", "1400000000")});
  refuse({"Books_5.json", "none of 1 reviews is inside the window", "--window-start"});
}

TEST_F(Amazon, RefusedMetadata) {
  folder_.write("meta_Books.json", "{\"title\": 5, \"asin\": \"B1\"}\n");
  refuse({"meta_Books.json:1", "'title' is not a text or a list of texts"});
  folder_.write("meta_Books.json", "{\"title\": \"A\"}\n");
  refuse({"meta_Books.json:1", "there is no 'asin'"});
  folder_.write("meta_Books.json", "{\"asin\": \"\"}\n");
  refuse({"meta_Books.json:1", "an id is empty"});
  folder_.write("meta_Books.json", "");
  refuse({"meta_Books.json", "there are no items"});
}

TEST_F(Amazon, Folders) {
  const auto missing = [&](const std::vector<std::string>& parts) {
    expect_error(ExitCode::kNoInput, parts, [&] { prepare(options()); });
  };
  folder_.write("Toys.json", "");
  refuse({"several files of reviews", "Books_5.json, Toys.json", "one category a folder"});
  folder_.remove("Toys.json");
  folder_.write("meta_Toys.jsonl.gz", "");
  refuse({"several files of metadata", "meta_Books.json, meta_Toys.jsonl.gz"});
  folder_.remove("meta_Toys.jsonl.gz");
  folder_.remove("meta_Books.json");
  folder_.write("meta_Books.txt", "");
  missing({folder_.path(), "metadata: meta_NAME.json", "--input"});
  folder_.remove("Books_5.json");
  missing({folder_.path(), "reviews: NAME.json", "--input"});
  PrepareOptions nowhere = options();
  nowhere.input = folder_.path("nowhere");
  expect_error(ExitCode::kNoInput, {"nowhere", "cannot be read"}, [&] { prepare(nowhere); });
}

// --- yelp ---

std::string visit(const std::string& user, const std::string& business, const std::string& stars, const std::string& date) {
  return fmt::format(
      "{{\"review_id\":\"KU_O5u\",\"user_id\":\"{}\",\"business_id\":\"{}\",\"stars\":{},\"useful\":0,\"funny\":0,\"cool\":0,"
      "\"text\":\"Nice.\\nReally.\",\"date\":\"{}\"}}\n",
      user, business, stars, date);
}

class Yelp : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write(
        "yelp_academic_dataset_business.json",
        "{\"business_id\":\"x\",\"name\":\"St Honore Pastries\",\"address\":\"935 Race St\",\"city\":\"Philadelphia\",\"state\":"
        "\"PA\",\"stars\":4.0,\"attributes\":{\"WiFi\":\"u'free'\"},\"categories\":\"Restaurants, Food, Bubble Tea\",\"hours\":"
        "null}\n"
        "{\"business_id\":\"y\",\"name\":\"Target\",\"city\":\"Tucson\",\"categories\":null}\n");
    write({visit("ann", "x", "4.0", "2010-01-01 00:00:00"), visit("bob", "y", "3.0", "2019-11-30 23:59:59"),
           visit("ann", "y", "5.0", "2019-12-01 00:00:00"), visit("ann", "x", "1", "2022-01-19 19:48:45"),
           visit("bob", "x", "5.0", "2009-12-31 23:59:59"), visit("bob", "x", "5.0", "2023-01-01 00:00:00")});
  }
  void write(const std::vector<std::string>& reviews) const {
    folder_.write("yelp_academic_dataset_review.json", joined(reviews, ""));
  }
  PrepareOptions options() const {
    PrepareOptions options = default_options("yelp");
    options.input = folder_.path();
    options.min_interactions = 0;
    return options;
  }
  Folder folder_;
};

TEST_F(Yelp, Reads) {
  const Dataset d = prepare(options());
  EXPECT_EQ(d.users, (std::vector<std::string>{"ann", "bob"}));
  EXPECT_EQ(item_called(d, "x").title, "St Honore Pastries");
  EXPECT_EQ(item_called(d, "x").keywords, "Philadelphia, Restaurants, Food, Bubble Tea");
  EXPECT_EQ(item_called(d, "y").keywords, "Tucson");
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{1262304000, 1575158400, 1642621725, 1575158399}));
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 1, 0, 0}));
  EXPECT_EQ(d.rows(Split::kTrain), (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(d.rows(Split::kValid), std::vector<std::int64_t>{1});
  EXPECT_EQ(d.rows(Split::kTest), std::vector<std::int64_t>{2});
  EXPECT_EQ(d.noun.singular, "business");
}

TEST_F(Yelp, GzipGivesTheSameData) {
  const Dataset plain = prepare(options());
  for (const char* name : {"yelp_academic_dataset_business.json", "yelp_academic_dataset_review.json"}) {
    folder_.write_gzip(std::string(name) + ".gz", read_bytes(folder_.path(name)));
    folder_.remove(name);
  }
  Dataset zipped = prepare(options());
  zipped.source_hash = plain.source_hash;
  expect_equal(zipped, plain);
}

TEST_F(Yelp, Refusals) {
  const auto refuse = [&](const std::string& date) {
    write({visit("ann", "x", "4.0", "2012-05-06"), visit("ann", "x", "4.0", date)});
    expect_error(ExitCode::kBadData, {"review.json:2", "'" + date + "'", "YYYY-MM-DD", "correct the line or remove it"},
                 [&] { prepare(options()); });
  };
  refuse("yesterday");
  refuse("2019-02-29 00:00:00");
  folder_.remove("yelp_academic_dataset_review.json");
  expect_error(ExitCode::kNoInput, {"yelp_academic_dataset_review.json.gz"}, [&] { prepare(options()); });
  folder_.remove("yelp_academic_dataset_business.json");
  expect_error(ExitCode::kNoInput, {"yelp_academic_dataset_business.json.gz"}, [&] { prepare(options()); });
}

// --- texts and dates ---

TEST(PlainText, References) {
  EXPECT_EQ(plain_text("Q&amp;A &lt;3 &quot;x&quot; &#39;y&#39; &#x2019;"), "Q&A <3 \"x\" 'y' \u2019");
  EXPECT_EQ(plain_text("Caf&eacute; &Agrave;&yuml;&times;&szlig; &mdash;"), "Caf\u00e9 \u00c0\u00ff\u00d7\u00df \u2014");
  EXPECT_EQ(plain_text("Tom &amp;amp; Jerry"), "Tom & Jerry");
  EXPECT_EQ(plain_text("a&nbsp;b&#10;&#0;c&#160;"), "a b c");
  for (const char* text : {"AT&T", "a & b; c", "&;", "&#;", "&#x;", "&#12a;", "&#xd800;", "&#1114112;", "&nothing;", "&"})
    EXPECT_EQ(plain_text(text), text);
}

TEST(PlainText, Tags) {
  EXPECT_EQ(plain_text("<b>Big</b><br/>news <!-- no --></span>"), "Big news");
  for (const char* text : {"<3", "a < b > c", "x <b", "<", "<", "x > y <b"}) EXPECT_EQ(plain_text(text), text);
  std::string many;
  for (int i = 0; i < 1'000'000; ++i) many += "<a";
  EXPECT_EQ(plain_text(many), many);  // in an instant, not in its square
}

TEST(Dates, ComeBack) {
  EXPECT_EQ(parse_date("1970-01-01"), 0);
  EXPECT_EQ(parse_date("1969-12-31 23:59:59"), -1);
  EXPECT_EQ(parse_date("2020-02-29 12:34:56"), 1582979696);
  for (const std::int64_t time : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1509494400}, std::int64_t{1582979696}})
    EXPECT_EQ(parse_date(format_date(time)), time);
  EXPECT_EQ(format_date(1509494400), "2017-11-01");
}

TEST(Dates, Others) {
  for (const char* text :
       {"", "2017", "2017-1-01", "2017-13-01", "2017-02-29", "2017-00-10", "2017/01/01", "2017-01-01T00:00:00", "2017-01-01 ",
        "2017-01-01 1:00:00", "2017-01-01 24:00:00", "2017-01-01 00:60:00", "2017-01-01 00:00:60", "2017-01-01 00:00",
        "2017-01-01 00:00:00 ", "+017-01-01", "2017-01-01 00:00:0x"})
    EXPECT_EQ(parse_date(text), std::nullopt) << text;
}

}  // namespace
}  // namespace thinkrec
