// The formats on small files of their real shapes, and every refusal with its code and place.

#include "core/joined.h"
#include "data/data_testing.h"

namespace thinkrec {
namespace {

std::vector<std::string> ids(const Dataset& d) {
  std::vector<std::string> out;
  for (const Item& item : d.items) out.push_back(item.id);
  return out;
}

// --- ratings ---

class Ratings : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("items.csv",
                  "item,title,keywords,category\n"
                  "x1,\"Bread, and \"\"Wine\"\" (1936)\",\"rye, crust|oven\",Food\n"
                  "x2,Caf\u00e9,,Food|Drink\n"
                  "x3,,,\n"
                  "x4,Never rated,,\n");
    write_interactions({"ann,x1,5,100", "bob,x2,3.5,105", "ann,x3,4,101", "bob,x1,2,90", "ann,x1,4,110.0", "cy,x2,5,120",
                        "ann,x2,1,130", "bob,x3,5,140"});
  }
  void write_interactions(const std::vector<std::string>& lines) const {
    folder_.write("interactions.csv", fmt::format("user,item,rating,timestamp\n{}\n", joined(lines, "\n")));
  }
  Dataset read() const { return prepare(options_for("ratings", folder_)); }

  Folder folder_;
};

TEST_F(Ratings, Reads) {
  const Dataset d = read();
  EXPECT_EQ(d.interactions(), 8);
  EXPECT_EQ(d.users, (std::vector<std::string>{"ann", "bob", "cy"}));
  EXPECT_EQ(ids(d), (std::vector<std::string>{"x1", "x2", "x3"}));
  EXPECT_EQ(d.items[0].title, "Bread, and \"Wine\" (1936)");
  EXPECT_EQ(d.items[0].keywords, "rye, crust, oven");
  EXPECT_EQ(d.items[1].keywords, "Food, Drink");  // no keywords: the category
  EXPECT_EQ(d.items[2].title, "x3");              // no title: the id
  EXPECT_EQ(d.items[2].keywords, "");
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{100, 101, 110, 130, 90, 105, 140, 120}));
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 1, 1, 0, 0, 0, 1, 1}));
  EXPECT_EQ(d.rows(Split::kTrain).size(), 4u);
  EXPECT_EQ(d.source_hash.size(), 64u);
}

TEST_F(Ratings, Settings) {
  PrepareOptions options = options_for("ratings", folder_);
  options.strip_year = true;
  options.keep_unrated_items = true;
  options.threshold = 3.5;
  const Dataset d = prepare(options);
  EXPECT_EQ(d.items[0].title, "Bread, and \"Wine\"");
  EXPECT_EQ(d.items.size(), 4u);
  EXPECT_EQ(d.label[5], 1);
}

TEST_F(Ratings, GzipGivesTheSameData) {
  const Dataset plain = read();
  std::ifstream file(folder_.path("interactions.csv"));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  folder_.remove("interactions.csv");
  folder_.write_gzip("interactions.csv.gz", text);
  Dataset zipped = read();
  EXPECT_NE(zipped.source_hash, plain.source_hash);
  zipped.source_hash = plain.source_hash;
  expect_equal(zipped, plain);
}

TEST_F(Ratings, OwnHeaders) {
  folder_.write("items.csv", "sku,label,tags,story\nx1,One,a,long\nx2,Two,b|c,longer\n");
  folder_.write("interactions.csv", "when,who,sku,stars\n1,ann,x1,5\n2,ann,x2,5\n3,ann,x2,1\n4,ann,x2,1\n");
  PrepareOptions options = options_for("ratings", folder_);
  options.columns = {"who", "sku", "stars", "when", "label", "tags", "", "story"};
  const Dataset d = prepare(options);
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(d.items[1].title, "Two");
  EXPECT_EQ(d.items[1].keywords, "b, c");
  options.columns.category = "shelf";
  expect_error(ExitCode::kBadData, {"items.csv:1", "'shelf'", "sku, label, tags, story", "--category-column"},
               [&] { prepare(options); });
  options.columns.category = "";
  options.columns.user = "whom";
  expect_error(ExitCode::kBadData, {"interactions.csv:1", "'whom'", "when, who, sku, stars", "--user-column"},
               [&] { prepare(options); });
}

TEST_F(Ratings, WrongColumnsNameTheOption) {
  const std::pair<const char*, const char*> cases[] = {{"u,item,rating,timestamp", "--user-column"},
                                                       {"user,i,rating,timestamp", "--item-column"},
                                                       {"user,item,r,timestamp", "--rating-column"},
                                                       {"user,item,rating,t", "--timestamp-column"}};
  for (const auto& [header, option] : cases) {
    folder_.write("interactions.csv", std::string(header) + "\nann,x1,5,1\n");
    std::string listed = header;
    for (std::size_t at = listed.find(','); at != std::string::npos; at = listed.find(',', at + 2)) listed.replace(at, 1, ", ");
    expect_error(ExitCode::kBadData, {"interactions.csv:1", listed, option}, [&] { read(); });
  }
  folder_.write("items.csv", "item,name\nx1,One\n");
  expect_error(ExitCode::kBadData, {"items.csv:1", "'title'", "item, name", "--title-column"}, [&] { read(); });
  folder_.write("items.csv", "id,title\nx1,One\n");
  expect_error(ExitCode::kBadData, {"items.csv:1", "'item'", "id, title", "--item-column"}, [&] { read(); });
}

TEST_F(Ratings, Refusals) {
  const auto refuse = [&](const std::vector<std::string>& lines, const std::vector<std::string>& parts) {
    write_interactions(lines);
    expect_error(ExitCode::kBadData, parts, [&] { read(); });
  };
  refuse({"ann,x1,5,1", "ann,y9,5,2"}, {"interactions.csv:3", "'y9'", "items.csv", "--unknown-items"});
  refuse({"ann,x1,nan,1"}, {"interactions.csv:2", "rating", "nan"});
  refuse({"ann,x1,NaN,1"}, {"interactions.csv:2", "rating"});
  refuse({"ann,x1,inf,1"}, {"interactions.csv:2", "rating"});
  refuse({"ann,x1,,1"}, {"interactions.csv:2", "rating"});
  refuse({"ann,x1,five,1"}, {"interactions.csv:2", "rating", "'five'"});
  refuse({"ann,x1,5,1", "ann,x1,5,yesterday"}, {"interactions.csv:3", "timestamp", "'yesterday'"});
  refuse({"ann,x1,5,1e300"}, {"interactions.csv:2", "out of range"});
  refuse({"ann,x1,5"}, {"interactions.csv:2", "3 fields"});
  refuse({",x1,5,1"}, {"interactions.csv:2", "user id is empty"});
  refuse({"a\xff,x1,5,1"}, {"interactions.csv:2", "user id is not UTF-8"});
  refuse({}, {"interactions.csv", "no interactions"});
  refuse({"ann,x1,5,1"}, {"the valid split is empty", "--split"});

  SetUp();
  folder_.write("items.csv", "item,title\nx1,One\nx1,Uno\n");
  expect_error(ExitCode::kBadData, {"items.csv:3", "'x1'", "second time"}, [&] { read(); });
  folder_.write("items.csv", "item,title\n,One\n");
  expect_error(ExitCode::kBadData, {"items.csv:2", "item id is empty"}, [&] { read(); });
  folder_.write("items.csv", "item,title\nx\xe9,One\n");
  expect_error(ExitCode::kBadData, {"items.csv:2", "item id is not UTF-8"}, [&] { read(); });
  folder_.write("items.csv", "item,title\nx1,Caf\xe9\n");
  expect_error(ExitCode::kBadData, {"items.csv:2", "'title' is not UTF-8", "iconv"}, [&] { read(); });
  folder_.write("items.csv", "item,title\n");
  expect_error(ExitCode::kBadData, {"interactions.csv:2", "'x1' is not in"}, [&] { read(); });
  folder_.remove("items.csv");
  expect_error(ExitCode::kNoInput, {"items.csv.gz", "--input"}, [&] { read(); });
  SetUp();
  folder_.remove("interactions.csv");
  expect_error(ExitCode::kNoInput, {"interactions.csv", "--input"}, [&] { read(); });
}

TEST_F(Ratings, UnknownItemsMayBeDropped) {
  write_interactions({"ann,x1,5,1", "dee,y9,5,2", "ann,x2,5,3", "bob,x1,1,4", "bob,x2,5,5", "ann,y8,5,6"});
  PrepareOptions options = options_for("ratings", folder_);
  options.unknown_items = UnknownItems::kDrop;
  EXPECT_EQ(find_format("ratings").read(options).dropped_interactions, 2);
  const Dataset d = prepare(options);
  EXPECT_EQ(d.interactions(), 4);
  EXPECT_EQ(d.users, (std::vector<std::string>{"ann", "bob"}));  // dee had nothing else
  write_interactions({"ann,y9,5,1"});
  expect_error(ExitCode::kBadData, {"interactions.csv", "all 1 are of unknown items"}, [&] { prepare(options); });
}

TEST_F(Ratings, UnknownItemsMayBeKept) {
  write_interactions({"ann,x1,5,1", "dee,y9,5,2", "ann,x2,5,3", "bob,y9,1,4"});
  PrepareOptions options = options_for("ratings", folder_);
  options.unknown_items = UnknownItems::kKeep;
  EXPECT_EQ(find_format("ratings").read(options).unlisted_items, 1);
  const Dataset d = prepare(options);
  EXPECT_EQ(ids(d), (std::vector<std::string>{"x1", "x2", "y9"}));
  EXPECT_EQ(d.items[2].title, "y9");
  write_interactions({"ann,,5,1"});
  expect_error(ExitCode::kBadData, {"interactions.csv:2", "item id is empty"}, [&] { prepare(options); });
}

TEST_F(Ratings, UntitledItemsAreCounted) {
  EXPECT_EQ(find_format("ratings").read(options_for("ratings", folder_)).untitled_items, 1);
}

// --- recbole ---

class RecBole : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("toy.item",
                  "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy Story\t1995\tAnimation "
                  "Children's Comedy\n2\tThe \"Rock\"\t1996\t\n");
    folder_.write("toy.inter",
                  "user_id:token\titem_id:token\trating:float\ttimestamp:"
                  "float\n9\t1\t3\t881250949\n9\t2\t5\t881250940\n8\t2\t4\t8.9e8\n8\t1\t4\t891717742\n");
  }
  Dataset read() const { return prepare(options_for("recbole", folder_)); }
  Folder folder_;
};

TEST_F(RecBole, Reads) {
  const Dataset d = read();
  EXPECT_EQ(d.users, (std::vector<std::string>{"9", "8"}));
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{881250940, 881250949, 890000000, 891717742}));
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 0, 1, 1}));
  EXPECT_EQ(d.items[0].title, "Toy Story");
  EXPECT_EQ(d.items[0].keywords, "Animation, Children's, Comedy");
  EXPECT_EQ(d.items[1].title, "The \"Rock\"");  // quotes are no syntax here
  EXPECT_EQ(d.items[1].keywords, "");
}

TEST_F(RecBole, OtherHeaders) {
  folder_.write("toy.item", "sku:token\tname:token_seq\ttags:token_seq\n1\tOne\tbig red, small blue\n2\tTwo\tgreen\n");
  folder_.write("toy.inter", "u:token\tsku:token\tstars:float\tt:float\n9\t1\t3\t1\n9\t2\t5\t2\n8\t2\t4\t3\n8\t1\t4\t4\n");
  PrepareOptions options = options_for("recbole", folder_);
  expect_error(ExitCode::kBadData, {"toy.item:1", "'item_id'", "sku:token, name:token_seq", "--item-column"},
               [&] { prepare(options); });
  options.columns.item = "sku";
  expect_error(ExitCode::kBadData, {"toy.inter:1", "'user_id'", "--user-column"}, [&] { prepare(options); });
  options.columns = {"u", "sku:token", "stars", "t", "", "tags", "", ""};
  const Dataset d = prepare(options);
  EXPECT_EQ(d.items[0].title, "One");
  EXPECT_EQ(d.items[0].keywords, "big red, small blue");  // it has commas, so spaces do not separate
  EXPECT_EQ(d.items[1].keywords, "green");
  options.columns.keywords = "nothing";
  expect_error(ExitCode::kBadData, {"toy.item:1", "'nothing'", "--keywords-column"}, [&] { prepare(options); });
  options.columns.keywords = "";
  options.columns.category = "nothing";
  expect_error(ExitCode::kBadData, {"toy.item:1", "'nothing'", "--category-column"}, [&] { prepare(options); });
  options.columns.category = "";
  EXPECT_EQ(prepare(options).items[0].keywords, "");
  options.columns.title = "heading";
  expect_error(ExitCode::kBadData, {"toy.item:1", "'heading'", "--title-column"}, [&] { prepare(options); });
  options.columns = {"u", "sku", "rating", "t", "name", "", "", ""};
  expect_error(ExitCode::kBadData, {"toy.inter:1", "'rating'", "u:token, sku:token, stars:float, t:float", "--rating-column"},
               [&] { prepare(options); });
}

TEST_F(RecBole, Refusals) {
  folder_.write("toy.item", "item_id:token\tprice:float\n1\t2\n");
  expect_error(ExitCode::kBadData, {"toy.item:1", "'title'", "--title-column"}, [&] { read(); });
  folder_.remove("toy.item");
  expect_error(ExitCode::kNoInput, {"toy.item", "titles"}, [&] { read(); });
  folder_.write("other.inter", "x\n");
  expect_error(ExitCode::kBadData, {"other.inter, toy.inter", "one data set a folder"}, [&] { read(); });
  folder_.remove("other.inter");
  folder_.remove("toy.inter");
  expect_error(ExitCode::kNoInput, {"no .inter file", "--input"}, [&] { read(); });
  PrepareOptions options = options_for("recbole", folder_);
  options.input = folder_.path("nowhere");
  expect_error(ExitCode::kNoInput, {"nowhere", "cannot be read"}, [&] { prepare(options); });
}

// --- movielens ---

std::string u_item(const std::string& id, const std::string& title, const std::string& flags) {
  std::string line = id + "|" + title + "|01-Jan-1995||http://x/";
  for (const char flag : flags) line += std::string("|") + flag;
  return line + "\n";
}

TEST(MovieLens, HundredThousand) {
  const Folder folder;
  folder.write("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t4\t881250900\n186\t242\t5\t891717743\n");
  folder.write("u.item", u_item("242", "Kolya (1996)", "0000010000000000000") +
                             u_item("302", "Mis\xe9rables, Les (1995)", "0100000000000000010") +
                             u_item("267", "unknown", "1000000000000000000"));
  PrepareOptions options = options_for("movielens", folder);
  options.keep_unrated_items = true;
  const Dataset d = prepare(options);
  EXPECT_EQ(d.interactions(), 4);
  EXPECT_EQ(d.noun.plural, "movies");
  EXPECT_EQ(d.items[0].title, "Kolya (1996)");
  EXPECT_EQ(d.items[0].keywords, "Comedy");
  EXPECT_EQ(d.items[1].title, "Mis\u00e9rables, Les (1995)");
  EXPECT_EQ(d.items[1].keywords, "Action, War");
  EXPECT_EQ(d.items[2].keywords, "");
  EXPECT_EQ(d.timestamp[0], 881250900);

  folder.write("u.item", u_item("242", "Kolya (1996)", "0000020000000000000"));
  expect_error(ExitCode::kBadData, {"u.item:1", "genre 5", "'2'"}, [&] { prepare(options); });
  folder.write("u.item", u_item("242", "Kolya (1996)", "00000"));
  expect_error(ExitCode::kBadData, {"u.item:1", "10 fields", "'|'", "24"}, [&] { prepare(options); });
  folder.write("u.item",
               u_item("242", "Kolya (1996)", "0000010000000000000") + u_item("302", "Pipe | in it", "0000010000000000000"));
  expect_error(ExitCode::kBadData, {"u.item:2", "25 fields"}, [&] { prepare(options); });
  folder.remove("u.item");
  expect_error(ExitCode::kNoInput, {"u.item"}, [&] { prepare(options); });
}

TEST(MovieLens, OneMillion) {
  const Folder folder;
  folder.write("ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n2::661::4::978298413\n2::1193::1::978298414\n");
  folder.write(
      "movies.dat",
      "661::Caf\xe9: James and the Giant Peach (1996)::Animation|Children's|Musical\n1193::One Flew Over (1975)::Drama\n");
  PrepareOptions options = options_for("movielens", folder);
  options.strip_year = true;
  const Dataset d = prepare(options);
  EXPECT_EQ(d.items[0].title, "Caf\u00e9: James and the Giant Peach");
  EXPECT_EQ(d.items[0].keywords, "Animation, Children's, Musical");
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 0, 1, 0}));

  folder.write("movies.dat", "661::Caf\u00e9::Animation\n1193::One Flew Over (1975)::(no genres listed)\n");  // 10M is UTF-8
  EXPECT_EQ(prepare(options).items[0].title, "Caf\u00e9");
  EXPECT_EQ(prepare(options).items[1].keywords, "");
  folder.write("ratings.dat", "\n1::1193::5\n");
  expect_error(ExitCode::kBadData, {"ratings.dat:2", "3 fields", "'::'", "4"}, [&] { prepare(options); });
  folder.write("ratings.dat", "1::1193::5::978300760\n1::7::5::978300760\n");
  expect_error(ExitCode::kBadData, {"ratings.dat:2", "'7' is not in", "movies.dat"}, [&] { prepare(options); });
  folder.write("ratings.dat", "");
  expect_error(ExitCode::kBadData, {"ratings.dat", "no interactions"}, [&] { prepare(options); });
}

TEST(MovieLens, Gzip) {
  const Folder folder;
  folder.write_gzip("ratings.dat.gz", "1::7::5::1\n1::8::3::2\n2::8::4::3\n2::7::4::4\n");
  folder.write_gzip("movies.dat.gz", "7::Seven::Drama\n8::Eight::War\n");
  EXPECT_EQ(prepare(options_for("movielens", folder)).label, (std::vector<std::uint8_t>{1, 0, 1, 1}));
  folder.remove("movies.dat.gz");
  expect_error(ExitCode::kNoInput, {"neither movies.dat nor movies.dat.gz"}, [&] { prepare(options_for("movielens", folder)); });
}

TEST(MovieLens, TwentyMillionAndLater) {
  const Folder folder;
  folder.write(
      "ratings.csv",
      "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,4.0,1112484676\n2,2,4.5,1112484677\n2,29,0.5,1112484678\n");
  folder.write("movies.csv",
               "movieId,title,genres\n2,\"City of Lost Children, The (1995)\",Adventure|Drama\n29,Jumanji,(no genres listed)\n");
  const PrepareOptions options = options_for("movielens", folder);
  const Dataset d = prepare(options);
  EXPECT_EQ(d.items[0].title, "City of Lost Children, The (1995)");
  EXPECT_EQ(d.items[0].keywords, "Adventure, Drama");
  EXPECT_EQ(d.items[1].keywords, "");
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 0, 1, 0}));

  folder.write("ratings.csv", "userId,movieId,stars,timestamp\n1,2,3.5,1112486027\n");
  expect_error(ExitCode::kBadData,
               {"ratings.csv:1", "userId, movieId, stars, timestamp", "userId, movieId, rating, timestamp", "--format ratings"},
               [&] { prepare(options); });
  folder.remove("ratings.csv");
  expect_error(ExitCode::kNoInput, {folder.path(), "u.data", "ratings.dat", "ratings.csv"}, [&] { prepare(options); });
}

}  // namespace
}  // namespace thinkrec
