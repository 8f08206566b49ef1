// The data sets that thinkrec is measured on, where they are.

#include <cstdlib>

#include "data/data_testing.h"
#include "data/summary.h"

namespace thinkrec {
namespace {

TEST(RealData, Ml1m) {
  const char* data = std::getenv("THINKREC_DATA");
  if (data == nullptr || !std::filesystem::exists(std::filesystem::path(data) / "ml1m"))
    GTEST_SKIP() << "THINKREC_DATA does not name a folder with ml1m";
  PrepareOptions options;
  options.format = "csv";
  options.input = (std::filesystem::path(data) / "ml1m").string();
  const Dataset d = prepare(options);
  EXPECT_EQ(d.name, "ml1m");
  EXPECT_EQ(d.noun.plural, "movies");
  EXPECT_EQ(d.interactions(), 51623);
  const DatasetSummary s = summarize(d);
  EXPECT_EQ(s.users, 838);
  EXPECT_EQ(s.items, 3255);
  EXPECT_EQ(fmt::format("{:.2f}", s.sigma_over_mu), "1.49");
  struct Row {
    std::int64_t rows, users, items;
    const char* positive;
    const char* not_cold;
    double median;
    std::int64_t empty;
    const char* few;
  };
  const Row expected[] = {{33891, 740, 3087, "0.5368", "1.0000", 43, 740, "17.8"},
                          {10401, 356, 2506, "0.5283", "0.6354", 76, 63, "7.2"},
                          {7331, 320, 2203, "0.5454", "0.5665", 78, 35, "6.2"}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(s.splits[i].rows, expected[i].rows);
    EXPECT_EQ(s.splits[i].users, expected[i].users);
    EXPECT_EQ(s.splits[i].items, expected[i].items);
    EXPECT_EQ(fmt::format("{:.4f}", s.splits[i].positive), expected[i].positive);
    EXPECT_EQ(fmt::format("{:.4f}", s.splits[i].not_cold), expected[i].not_cold);
    EXPECT_EQ(s.splits[i].median_history, expected[i].median);
    EXPECT_EQ(s.splits[i].empty_histories, expected[i].empty);
    EXPECT_EQ(fmt::format("{:.1f}", 100 * s.splits[i].short_histories), expected[i].few);
  }
  // The column `row` is the interaction index.
  EXPECT_EQ(d.rows(Split::kTest).front(), 97);
  EXPECT_EQ(d.timestamp[97], 1040544350);
  EXPECT_EQ(d.items[static_cast<std::size_t>(d.item[97])].id, "96");
  EXPECT_EQ(d.items[0].title, "Shawshank Redemption, The (1994)");

  const Folder folder;
  save_dataset(d, folder.path("ml1m.h5"));
  expect_equal(load_dataset(folder.path("ml1m.h5")), d);
}

TEST(RealData, Ml100k) {
  const std::filesystem::path input = std::filesystem::path(THINKREC_DEPS_DIR) / "data/recbole/dataset_example/ml-100k";
  if (!std::filesystem::exists(input)) GTEST_SKIP() << input << " is missing; launch/setup.sh unpacks it";
  PrepareOptions options;
  options.format = "recbole";
  options.input = input.string();
  const Dataset d = prepare(options);
  EXPECT_EQ(d.name, "ml-100k");
  EXPECT_EQ(d.noun.singular, "movie");
  EXPECT_EQ(d.interactions(), 100000);
  EXPECT_EQ(d.users.size(), 943u);
  EXPECT_EQ(d.items.size(), 1682u);
  EXPECT_EQ(d.rows(Split::kTrain).size(), 80000u);
  EXPECT_EQ(d.rows(Split::kValid).size(), 10000u);
  EXPECT_EQ(d.rows(Split::kTest).size(), 10000u);
  EXPECT_EQ(d.items[0].title, "Toy Story");
  EXPECT_EQ(d.items[0].keywords, "Animation, Children's, Comedy");
  EXPECT_EQ(std::accumulate(d.label.begin(), d.label.end(), 0), 55375);  // ratings of 4 and 5
}

}  // namespace
}  // namespace thinkrec
