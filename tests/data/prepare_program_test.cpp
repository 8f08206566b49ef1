// The program itself: exit codes, what goes to standard output and what to standard error, and one line an error.

#include <sys/wait.h>

#include <cstdio>
#include <sstream>

#include "data/data_testing.h"
#include "io/file.h"

namespace thinkrec {
namespace {

struct Outcome {
  int code;
  std::string out, err;
};

class PrepareProgram : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("items.csv", "item,title,category\na,Alpha,x|y\nb,Beta,\n");
    std::string text = "item,user,rating,timestamp\n";
    for (int i = 0; i < 40; ++i) text += fmt::format("{},u{},{},{}\n", i % 2 == 0 ? "a" : "b", i % 3, 1 + i % 5, 100 + i);
    folder_.write("interactions.csv", text);
  }

  Outcome run(const std::string& arguments) const {
    const std::string command = fmt::format("'{}' {} 2> '{}'", THINKREC_PREPARE, arguments, folder_.path("stderr"));
    Outcome outcome;
    std::FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof(buffer), pipe)) outcome.out.append(buffer, n);
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.err = read_file(folder_.path("stderr"));
    return outcome;
  }

  std::string base() const {
    return fmt::format("--format ratings --input '{}' --output '{}'", folder_.path(), folder_.path("data.h5"));
  }

  Folder folder_;
};

TEST_F(PrepareProgram, WritesTheDataSetAndPrintsTheRow) {
  const Outcome outcome =
      run(fmt::format("{} --name shop --noun book,books --strip-year --json '{}'", base(), folder_.path("row.json")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(read_file(folder_.path("row.json"))
                  .starts_with(R"({"name":"shop","train":32,"valid":4,"test":4,"users":3,"items":2,"sigma_over_mu":0.)"))
      << read_file(folder_.path("row.json"));
  std::istringstream lines(outcome.out);
  std::string header, row;
  std::getline(lines, header);
  std::getline(lines, row);
  EXPECT_TRUE(header.starts_with("Dataset")) << outcome.out;
  std::istringstream cells(row);
  std::string name, train, valid, test, users, items;
  cells >> name >> train >> valid >> test >> users >> items;
  EXPECT_EQ(fmt::format("{} {} {} {} {} {}", name, train, valid, test, users, items), "shop 32 4 4 3 2");
  EXPECT_EQ(outcome.out.find("info"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("read 40 interactions"), std::string::npos) << outcome.err;
  const Dataset d = load_dataset(folder_.path("data.h5"));
  EXPECT_EQ(d.noun.plural, "books");
  EXPECT_EQ(d.items[0].keywords, "x, y");
}

TEST_F(PrepareProgram, SettingsReachTheBuild) {
  ASSERT_EQ(run(base() + " --split-times 110,130 --window-start 101 --window-end 135 --threshold 2.5").code, 0);
  Dataset d = load_dataset(folder_.path("data.h5"));
  EXPECT_EQ(d.threshold, 2.5);
  EXPECT_EQ(d.splits[0].size(), 9u);
  EXPECT_EQ(d.splits[1].size(), 20u);
  EXPECT_EQ(d.splits[2].size(), 5u);
  ASSERT_EQ(run(base() + " --split 0.5,0.3,0.2 --min-interactions 13").code, 0);
  d = load_dataset(folder_.path("data.h5"));
  EXPECT_EQ(d.users, std::vector<std::string>{"u0"});  // 14 interactions; the others have 13
}

TEST_F(PrepareProgram, DatesAndFilters) {
  std::string text = "item,user,rating,timestamp\n";
  for (int day = 0; day < 40; ++day)
    text += fmt::format("{},u{},4,{}\n", day % 2 == 0 ? "a" : "b", day % 5, 1509408000 + day * 86400);
  folder_.write("interactions.csv", text + "c,u0,4,1509408000\n");
  const auto sizes = [&](const std::string& arguments) {
    const Outcome outcome = run(base() + " " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const Dataset d = load_dataset(folder_.path("data.h5"));
    return fmt::format("{} {} {}", d.splits[0].size(), d.splits[1].size(), d.splits[2].size());
  };
  EXPECT_EQ(sizes("--unknown-items keep --train-until 2017-11-05"), "6 17 18");
  EXPECT_EQ(sizes("--unknown-items drop --train-until 1509840000"), "5 17 18");
  EXPECT_EQ(sizes("--unknown-items keep --k-core 2 --train-until none"), "32 4 4");
  EXPECT_EQ(sizes("--unknown-items drop --split-times 2017-11-02,2017-11-04 --window-end 2017-11-10"), "2 2 6");
  EXPECT_EQ(sizes("--unknown-items drop --window-start 2017-11-10 --window-end none"), "24 3 3");
  EXPECT_EQ(sizes("--unknown-items drop --duplicates first --window-start 2017-10-31"), "8 1 1");
  EXPECT_EQ(sizes("--unknown-items drop --duplicates last"), "8 1 1");
}

TEST_F(PrepareProgram, DefaultsOfYelp) {
  folder_.write("yelp_academic_dataset_business.json", "{\"business_id\":\"x\",\"name\":\"X\"}\n");
  std::string text;
  for (int i = 0; i < 21; ++i)
    text += fmt::format("{{\"user_id\":\"ann\",\"business_id\":\"x\",\"stars\":{},\"date\":\"2019-{:02}-03 10:00:00\"}}\n",
                        3 + i % 3, i < 18 ? 10 : 12);
  folder_.write("yelp_academic_dataset_review.json", text);
  const std::string yelp = fmt::format("--format yelp --input '{}' --output '{}'", folder_.path(), folder_.path("data.h5"));
  ASSERT_EQ(run(yelp).code, 0);
  Dataset d = load_dataset(folder_.path("data.h5"));
  EXPECT_EQ(fmt::format("{} {} {}", d.splits[0].size(), d.splits[1].size(), d.splits[2].size()), "18 1 2");
  EXPECT_EQ(std::accumulate(d.label.begin(), d.label.end(), 0), 14);
  ASSERT_EQ(run(yelp + " --threshold 5 --split 0.5,0.25,0.25").code, 0);
  d = load_dataset(folder_.path("data.h5"));
  EXPECT_EQ(d.splits[0].size(), 11u);
  EXPECT_EQ(std::accumulate(d.label.begin(), d.label.end(), 0), 7);
  ASSERT_EQ(run(yelp + " --split-times 2019-10-04,2019-12-04").code, 65);  // no test rows
  EXPECT_EQ(run(yelp + " --min-interactions 21").code, 65);
}

TEST_F(PrepareProgram, SyntheticDataNeedNoInput) {
  const std::string synthetic = fmt::format("--format synthetic --like book --scale 0.01 --output '{}'", folder_.path("data.h5"));
  Outcome outcome = run(synthetic + " --seed 3");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("synthetic-book"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("6,509        563        563        227        471      1.07"), std::string::npos) << outcome.out;
  const std::string three = load_dataset(folder_.path("data.h5")).hash();
  ASSERT_EQ(run(synthetic + " --seed 4 --name other").code, 0);
  const Dataset other = load_dataset(folder_.path("data.h5"));
  EXPECT_NE(other.hash(), three);
  EXPECT_EQ(other.name, "other");
}

TEST_F(PrepareProgram, Help) {
  const Outcome outcome = run("--help");
  EXPECT_EQ(outcome.code, 0);
  for (const char* part :
       {"--format", "--split-times", "--unknown-items", "recbole", "movielens", "0.8,0.1,0.1", "Defaults of", "2017-11-01"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  }
}

TEST_F(PrepareProgram, Refusals) {
  const auto refuse = [&](const std::string& arguments, int code, const std::vector<std::string>& parts) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
    for (const std::string& part : parts)
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " not in " << outcome.err;
  };
  refuse("", 64, {"--format"});
  refuse("--format ratings", 64, {"--input"});
  refuse("--format ratings --input /", 64, {"--output"});
  refuse("--format netflix --input / --output x", 64, {"netflix"});
  refuse(base() + " --split 0.8,0.2", 64, {"--split", "3 values", "'0.8,0.2'"});
  refuse(base() + " --split 0.8,0.1,x", 64, {"--split"});
  refuse(base() + " --split-times 5", 64, {"--split-times", "2 values"});
  refuse(base() + " --split-times 5,6.5", 64, {"--split-times"});
  refuse(base() + " --window-start soon", 64, {"--window-start", "YYYY-MM-DD", "'soon'"});
  refuse(base() + " --window-end 2017-02-29", 64, {"--window-end"});
  refuse(base() + " --train-until 1.5", 64, {"--train-until"});
  refuse(base() + " --train-until 5 --split 0.8,0.1,0.1", 64, {"--train-until or --split,"});
  refuse(base() + " --train-until 5 --split-times 5,6", 64, {"--train-until or --split-times"});
  refuse(base() + " --duplicates some", 64, {"duplicates", "keep, first, last"});
  refuse(base() + " --noun book", 64, {"--noun", "2 values"});
  refuse(base() + " --noun ,books", 64, {"--noun"});
  refuse(base() + " --split 0.8,0.1,0.1 --split-times 5,6", 64, {"not both"});
  refuse(base() + " --threshold high", 64, {"threshold"});
  refuse(base() + " --split 0.8,0.1,0.2", 78, {"--split", "sum to 1"});
  refuse(base() + " --rating-column stars", 65,
         {"interactions.csv", "'stars'", "item, user, rating, timestamp", "--rating-column"});
  refuse("--format ratings --input /nowhere-at-all --output x", 66, {"/nowhere-at-all"});
  refuse(fmt::format("--format ratings --input '{}' --output '{}/no/such/data.h5'", folder_.path(), folder_.path()), 74,
         {"no/such"});
  for (const char* option :
       {"--threshold 3", "--split 0.8,0.1,0.1", "--split-times 1,2", "--window-start 1", "--window-end 2", "--train-until 3",
        "--duplicates first", "--k-core 2", "--min-interactions 2", "--unknown-items drop"}) {
    refuse(fmt::format("--format csv --input '{}' --output x {}", folder_.path(), option), 64,
           {"does not apply to --format csv", "ready-made"});
  }
  refuse("--format synthetic --output x", 64, {"--like"});
  refuse("--format synthetic --like ml1m --output x", 64, {"--like", "yelp, book"});
  refuse("--format synthetic --like yelp --scale 0 --output x", 64, {"--scale"});
  refuse("--format synthetic --like yelp --scale 0.0001 --output x", 78, {"--scale", "fewer than 50"});
  refuse("--format synthetic --like yelp --seed -1 --output x", 64, {"--seed"});
  refuse("--format synthetic --like yelp --input / --output x", 64, {"--input does not apply to --format synthetic"});
  refuse("--format synthetic --like yelp --threshold 3 --output x", 64, {"--threshold does not apply", "ready-made"});
  refuse("--format synthetic --like yelp --user-column u --output x", 64, {"--user-column does not apply"});
  for (const char* option : {"--like yelp", "--seed 2", "--scale 0.5"})
    refuse(base() + " " + option, 64, {"does not apply to --format ratings"});
  for (const char* option : {"user", "item", "rating", "timestamp", "title", "keywords", "category", "description"}) {
    refuse(fmt::format("--format movielens --input '{}' --output x --{}-column y", folder_.path(), option), 64,
           {"does not apply to --format movielens"});
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.path("data.h5")));
}

}  // namespace
}  // namespace thinkrec
