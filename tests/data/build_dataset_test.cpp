#include <random>

#include "data/data_testing.h"
#include "data/summary.h"

namespace thinkrec {
namespace {

/// `rows` are {user, item, rating, timestamp}; ids are "u<k>" and "i<k>".
RawData raw_of(const std::vector<std::array<std::int64_t, 4>>& rows, std::int32_t users, std::int32_t items) {
  RawData raw;
  for (std::int32_t u = 0; u < users; ++u) raw.users.push_back(fmt::format("u{}", u));
  for (std::int32_t i = 0; i < items; ++i) raw.items.push_back({fmt::format("i{}", i), fmt::format("Title {}", i), ""});
  for (const auto& [user, item, rating, timestamp] : rows) {
    raw.user.push_back(static_cast<std::int32_t>(user));
    raw.item.push_back(static_cast<std::int32_t>(item));
    raw.rating.push_back(static_cast<double>(rating));
    raw.timestamp.push_back(timestamp);
  }
  raw.source_hash = "s";
  return raw;
}

PrepareOptions build_options() {
  PrepareOptions options;
  options.format = "ratings";
  options.input = "/somewhere/shop/";
  options.split = {0.5, 0.25, 0.25};
  return options;
}

const std::vector<std::array<std::int64_t, 4>> kRows = {
    {1, 2, 5, 30}, {0, 0, 4, 10}, {1, 0, 3, 20}, {0, 2, 1, 10}, {2, 2, 5, 20}, {1, 2, 2, 20}, {0, 0, 4, 40}, {2, 0, 4, 5},
};

TEST(BuildDataset, SortsLabelsAndNumbers) {
  const Dataset d = build_dataset(raw_of(kRows, 3, 4), build_options());
  EXPECT_EQ(d.name, "shop");
  EXPECT_EQ(d.noun.singular, "item");
  EXPECT_EQ(d.threshold, 4);
  EXPECT_EQ(d.source_hash, "s");
  EXPECT_EQ(d.users, (std::vector<std::string>{"u1", "u0", "u2"}));  // order of first interaction
  ASSERT_EQ(d.items.size(), 2u);                                     // i1 and i3 are never rated
  EXPECT_EQ(d.items[0].id, "i0");
  EXPECT_EQ(d.items[1].id, "i2");
  EXPECT_EQ(d.user, (std::vector<std::int32_t>{0, 0, 0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{20, 20, 30, 10, 10, 40, 5, 20}));
  EXPECT_EQ(d.item, (std::vector<std::int32_t>{0, 1, 1, 0, 1, 0, 0, 1}));  // ties in file order; duplicates stay
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{0, 0, 1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(d.user_begin, (std::vector<std::int64_t>{0, 3, 6, 8}));
  // By time: 5 | 10 10 | 20 20 20 | 30 | 40; ties by user, then file.
  EXPECT_EQ(d.rows(Split::kTrain), (std::vector<std::int64_t>{6, 3, 4, 0}));
  EXPECT_EQ(d.rows(Split::kValid), (std::vector<std::int64_t>{1, 7}));
  EXPECT_EQ(d.rows(Split::kTest), (std::vector<std::int64_t>{2, 5}));
}

TEST(BuildDataset, Settings) {
  const RawData raw = raw_of(kRows, 3, 4);
  PrepareOptions options = build_options();
  options.keep_unrated_items = true;
  options.threshold = 5;
  options.noun = Noun{"book", "books"};
  options.name = "ml-5";
  Dataset d = build_dataset(raw, options);
  EXPECT_EQ(d.items.size(), 4u);
  EXPECT_EQ(d.item[1], 2);
  EXPECT_EQ(std::accumulate(d.label.begin(), d.label.end(), 0), 2);
  EXPECT_EQ(d.noun.plural, "books");

  options.name.clear();
  options.input = "data/caf\xe9/";
  EXPECT_EQ(build_dataset(raw, options).name, "caf\u00e9") << "a folder's name may be of any bytes";
  options.name = "ml-5";
  options.noun.reset();
  EXPECT_EQ(build_dataset(raw, options).noun.plural, "movies");
  options.name = "ml1m";
  EXPECT_EQ(build_dataset(raw, options).noun.singular, "movie");
  options.name = "mlops";
  EXPECT_EQ(build_dataset(raw, options).noun.singular, "item");
  options.format = "movielens";
  EXPECT_EQ(build_dataset(raw, options).noun.singular, "movie");
}

TEST(BuildDataset, SplitTimesAreHalfOpen) {
  PrepareOptions options = build_options();
  options.split_times = {20, 40};
  const Dataset d = build_dataset(raw_of(kRows, 3, 4), options);
  for (std::size_t s = 0; s < 3; ++s) {
    for (const std::int64_t row : d.splits[s]) {
      const std::int64_t t = d.timestamp[static_cast<std::size_t>(row)];
      EXPECT_EQ(t < 20 ? 0u : t < 40 ? 1u : 2u, s);
    }
  }
  EXPECT_EQ(d.splits[0].size() + d.splits[1].size() + d.splits[2].size(), 8u);
}

TEST(BuildDataset, WhatFollowsTrainingIsHalved) {
  PrepareOptions options = build_options();
  options.train_until = 20;
  const Dataset d = build_dataset(raw_of(kRows, 3, 4), options);
  // By time: 5 10 10 | 20 20 | 20 30 40; of an odd rest the test split has one more.
  EXPECT_EQ(d.rows(Split::kTrain), (std::vector<std::int64_t>{6, 3, 4}));
  EXPECT_EQ(d.rows(Split::kValid), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(d.rows(Split::kTest), (std::vector<std::int64_t>{7, 2, 5}));
}

TEST(BuildDataset, WindowAndMinimumInteractions) {
  PrepareOptions options = build_options();
  options.window_start = 10;
  options.window_end = 40;
  Dataset d = build_dataset(raw_of(kRows, 3, 4), options);
  EXPECT_EQ(d.interactions(), 6);
  EXPECT_EQ(*std::min_element(d.timestamp.begin(), d.timestamp.end()), 10);
  EXPECT_EQ(*std::max_element(d.timestamp.begin(), d.timestamp.end()), 30);

  options = build_options();
  options.min_interactions = 2;  // strictly more than 2: users 0 and 1, items 0 and 2
  d = build_dataset(raw_of(kRows, 3, 4), options);
  EXPECT_EQ(d.users, (std::vector<std::string>{"u1", "u0"}));
  EXPECT_EQ(d.interactions(), 6);
}

TEST(BuildDataset, MinimumIsOnePassNotACore) {
  // u2 has 2 interactions, one with the rare i1: both counts are taken before anything goes.
  PrepareOptions options = build_options();
  options.min_interactions = 1;
  const Dataset d =
      build_dataset(raw_of({{0, 0, 5, 1}, {0, 0, 5, 2}, {1, 0, 5, 3}, {1, 0, 5, 4}, {2, 0, 5, 5}, {2, 1, 5, 6}}, 3, 2), options);
  EXPECT_EQ(d.users.size(), 3u);
  EXPECT_EQ(d.items.size(), 1u);
  EXPECT_EQ(d.interactions(), 5);
}

TEST(BuildDataset, CoreIsRepeated) {
  // Without i1, which has one interaction, u2 has one left; without u2 the others stay.
  PrepareOptions options = build_options();
  options.k_core = 2;
  const Dataset d =
      build_dataset(raw_of({{0, 0, 5, 1}, {0, 0, 5, 2}, {1, 0, 5, 3}, {1, 0, 5, 4}, {2, 0, 5, 5}, {2, 1, 5, 6}}, 3, 2), options);
  EXPECT_EQ(d.users, (std::vector<std::string>{"u0", "u1"}));
  EXPECT_EQ(d.interactions(), 4);
  options.k_core = 5;
  expect_error(ExitCode::kBadData, {"none is left", "--k-core (now 5)"}, [&] {
    build_dataset(raw_of({{0, 0, 5, 1}, {0, 0, 5, 2}, {1, 0, 5, 3}, {1, 0, 5, 4}}, 2, 1), options);
  });
}

TEST(BuildDataset, Duplicates) {
  const RawData raw = raw_of({{0, 0, 5, 30}, {0, 0, 1, 10}, {0, 1, 2, 5}, {0, 0, 4, 10}, {1, 0, 3, 7}, {0, 1, 5, 5}}, 2, 2);
  const auto labels = [&](Duplicates which) {
    PrepareOptions options = build_options();
    options.duplicates = which;
    options.split = {0.4, 0.3, 0.3};
    return build_dataset(raw, options).label;
  };
  EXPECT_EQ(labels(Duplicates::kKeep), (std::vector<std::uint8_t>{0, 1, 0, 1, 1, 0}));
  EXPECT_EQ(labels(Duplicates::kFirst), (std::vector<std::uint8_t>{0, 0, 0}));  // of one time the first in the file
  EXPECT_EQ(labels(Duplicates::kLast), (std::vector<std::uint8_t>{1, 1, 0}));
  PrepareOptions options = build_options();
  options.duplicates = Duplicates::kFirst;
  options.min_interactions = 2;  // counted without the duplicates
  expect_error(ExitCode::kBadData, {"none is left"}, [&] { build_dataset(raw, options); });
}

TEST(BuildDataset, NounOfTheFormat) {
  RawData raw = raw_of(kRows, 3, 4);
  raw.noun = Noun{"business", "businesses"};
  PrepareOptions options = build_options();
  EXPECT_EQ(build_dataset(raw, options).noun.plural, "businesses");
  options.noun = Noun{"shop", "shops"};
  EXPECT_EQ(build_dataset(raw, options).noun.plural, "shops");
}

TEST(BuildDataset, DefaultsOfFormats) {
  EXPECT_EQ(default_options("ratings").threshold, 4);
  EXPECT_EQ(default_options("ratings").min_interactions, 0);
  EXPECT_FALSE(default_options("csv").train_until);
  const PrepareOptions amazon = default_options("amazon"), yelp = default_options("yelp");
  EXPECT_EQ(amazon.threshold, 5);
  EXPECT_EQ(amazon.min_interactions, 20);
  EXPECT_EQ(amazon.window_start, 1483228800);
  EXPECT_EQ(amazon.window_end, 1514764800);
  EXPECT_EQ(amazon.train_until, 1509494400);
  EXPECT_EQ(yelp.threshold, 4);
  EXPECT_EQ(yelp.min_interactions, 20);
  EXPECT_EQ(yelp.window_start, 1262304000);
  EXPECT_EQ(yelp.train_until, 1575158400);
}

TEST(BuildDataset, Refusals) {
  const RawData raw = raw_of(kRows, 3, 4);
  const auto refuse = [&](ExitCode code, const std::vector<std::string>& parts,
                          const std::function<void(PrepareOptions&)>& change) {
    PrepareOptions options = build_options();
    change(options);
    expect_error(code, parts, [&] { build_dataset(raw, options); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refuse(ExitCode::kConfig, {"--split", "above 0", "0.9,0.1,0"}, [](auto& o) { o.split = {0.9, 0.1, 0}; });
  refuse(ExitCode::kConfig, {"--split", "above 0"}, [&](auto& o) { o.split = {nan, 0.5, 0.5}; });
  refuse(ExitCode::kConfig, {"--split", "sum to 1", "0.8 + 0.1 + 0.2"}, [](auto& o) { o.split = {0.8, 0.1, 0.2}; });
  refuse(ExitCode::kConfig, {"--split", "sum to 1"}, [](auto& o) {
    o.split = {std::numeric_limits<double>::infinity(), 0.1, 0.2};
  });
  refuse(ExitCode::kConfig, {"--split-times", "20,20"}, [](auto& o) { o.split_times = {20, 20}; });
  refuse(ExitCode::kConfig, {"--window-start 5", "--window-end 5"}, [](auto& o) { o.window_start = o.window_end = 5; });
  refuse(ExitCode::kConfig, {"--threshold"}, [&](auto& o) { o.threshold = nan; });
  refuse(ExitCode::kConfig, {"--k-core", "-1"}, [](auto& o) { o.k_core = -1; });
  refuse(ExitCode::kConfig, {"--split-times or --train-until"}, [](auto& o) {
    o.split_times = {20, 30};
    o.train_until = 20;
  });
  refuse(ExitCode::kBadData, {"the train split is empty", "--train-until"}, [](auto& o) { o.train_until = 5; });
  refuse(ExitCode::kBadData, {"the valid split is empty", "--train-until"}, [](auto& o) { o.train_until = 40; });
  refuse(ExitCode::kConfig, {"--min-interactions", "-1"}, [](auto& o) { o.min_interactions = -1; });
  refuse(ExitCode::kBadData, {"of 8 interactions none is left", "--min-interactions (now 100)"},
         [](auto& o) { o.min_interactions = 100; });
  refuse(ExitCode::kBadData, {"of 8 interactions none is left", "--window-start"}, [](auto& o) { o.window_start = 1000; });
  refuse(ExitCode::kBadData, {"the valid split is empty", "8 interactions", "5 to 40", "--split"}, [](auto& o) {
    o.split = {0.98, 0.01, 0.01};
  });
  refuse(ExitCode::kBadData, {"the train split is empty", "--split-times"}, [](auto& o) { o.split_times = {5, 20}; });
  refuse(ExitCode::kBadData, {"the test split is empty", "--split-times"}, [](auto& o) { o.split_times = {20, 50}; });
  expect_error(ExitCode::kConfig, {"'netflix'", "ratings, csv, recbole, movielens, amazon, yelp, synthetic"},
               [] { find_format("netflix"); });
}

/// Against definitions written down plainly, on random ratings with many ties.
TEST(BuildDataset, RandomRatingsMatchTheDefinition) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 60; ++trial) {
    const int users = 1 + static_cast<int>(random() % 9), items = 1 + static_cast<int>(random() % 12),
              n = 10 + static_cast<int>(random() % 150);
    std::vector<std::array<std::int64_t, 4>> rows;
    for (int i = 0; i < n; ++i) {
      rows.push_back({static_cast<std::int64_t>(random() % static_cast<unsigned>(users)),
                      static_cast<std::int64_t>(random() % static_cast<unsigned>(items)),
                      static_cast<std::int64_t>(random() % 5) + 1, static_cast<std::int64_t>(random() % 20)});
    }
    const Dataset d = build_dataset(raw_of(rows, users, items), build_options());
    d.check("random");
    ASSERT_EQ(d.interactions(), n);
    std::vector<std::int64_t> by_time;
    for (const auto& split : d.splits) by_time.insert(by_time.end(), split.begin(), split.end());
    ASSERT_EQ(by_time.size(), static_cast<std::size_t>(n));
    for (std::size_t k = 1; k < by_time.size(); ++k) {
      const auto a = static_cast<std::size_t>(by_time[k - 1]), b = static_cast<std::size_t>(by_time[k]);
      EXPECT_LT(std::pair(d.timestamp[a], a), std::pair(d.timestamp[b], b));
    }
    std::vector<std::array<std::int64_t, 4>> expected = rows;
    const auto number = [&](std::int64_t user) {
      return std::find(d.users.begin(), d.users.end(), fmt::format("u{}", user)) - d.users.begin();
    };
    std::stable_sort(expected.begin(), expected.end(),
                     [&](const auto& a, const auto& b) { return std::pair(number(a[0]), a[3]) < std::pair(number(b[0]), b[3]); });
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(d.users[static_cast<std::size_t>(d.user[i])], fmt::format("u{}", expected[i][0]));
      EXPECT_EQ(d.items[static_cast<std::size_t>(d.item[i])].id, fmt::format("i{}", expected[i][1]));
      EXPECT_EQ(d.label[i], expected[i][2] >= 4 ? 1 : 0);
      EXPECT_EQ(d.timestamp[i], expected[i][3]);
    }
  }
}

TEST(Summary, Figures) {
  const Dataset d = tiny_dataset();  // train: rows 0, 1 of u1; valid: 3 of u2, 5 of u3; test: 4 of u2, 2 of u1
  const DatasetSummary s = summarize(d);
  EXPECT_EQ(s.users, 3);
  EXPECT_EQ(s.items, 3);
  EXPECT_EQ(s.sigma_over_mu, 0);  // one user has train rows
  EXPECT_EQ(s.splits[0].rows, 2);
  EXPECT_EQ(s.splits[0].users, 1);
  EXPECT_EQ(s.splits[0].items, 2);
  EXPECT_EQ(s.splits[0].positive, 0.5);
  EXPECT_EQ(s.splits[0].not_cold, 1);
  EXPECT_EQ(s.splits[0].median_history, 0.5);
  EXPECT_EQ(s.splits[0].empty_histories, 1);
  EXPECT_EQ(s.splits[0].short_histories, 1);
  EXPECT_EQ(s.splits[1].not_cold, 0);
  EXPECT_EQ(s.splits[1].empty_histories, 2);
  EXPECT_EQ(s.splits[2].median_history, 1.5);
  EXPECT_EQ(s.splits[2].not_cold, 0);  // u1 has train rows, b3 has none
  const std::string text = summary_text(d, s);
  for (const char* part : {"#Train", "#Valid", "#Test", "#User", "#Item", "sigma/mu", "tiny", "50.00%", "history median"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

TEST(Summary, SigmaOverMuIsOfTheSample) {
  // Train rows per user: 1 and 3; mean 2, sample deviation sqrt(2).
  const Dataset d = build_dataset(
      raw_of({{0, 0, 5, 1}, {1, 0, 5, 1}, {1, 0, 5, 2}, {1, 0, 5, 3}, {0, 0, 5, 4}, {2, 0, 5, 4}, {0, 0, 5, 5}, {0, 0, 5, 6}}, 3,
             1),
      build_options());
  EXPECT_NEAR(summarize(d).sigma_over_mu, std::sqrt(2.0) / 2, 1e-12);
}

}  // namespace
}  // namespace thinkrec
