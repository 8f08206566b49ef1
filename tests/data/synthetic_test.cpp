// Synthetic data: the paper's counts, the long tail, the same bits for the same seed, and labels that can be learnt.

#include "data/formats/synthetic.h"

#include <map>
#include <set>

#include "data/data_testing.h"
#include "data/summary.h"
#include "support/sanitized.h"

namespace thinkrec {
namespace {

PrepareOptions synthetic(const std::string& like, double scale, std::uint64_t seed = 1) {
  PrepareOptions options = default_options("synthetic");
  options.like = like;
  options.scale = scale;
  options.seed = seed;
  return options;
}

/// Area under the ROC curve, ties one half.
double auc(std::vector<std::pair<double, std::uint8_t>> scored) {
  std::sort(scored.begin(), scored.end());
  double below = 0, wins = 0, positive = 0;
  for (std::size_t at = 0; at < scored.size();) {
    double negatives = 0, positives = 0;
    const double score = scored[at].first;
    for (; at < scored.size() && scored[at].first == score; ++at) (scored[at].second != 0 ? positives : negatives) += 1;
    wins += positives * (below + negatives / 2);
    below += negatives;
    positive += positives;
  }
  return wins / (positive * below);
}

/// Smoothed share of likes among the train rows with the key.
class Rates {
 public:
  explicit Rates(double mean) : mean_(mean) {}
  void add(const std::string& key, int label) {
    ++seen_[key];
    liked_[key] += label;
  }
  double excess(const std::string& key) const {
    constexpr double kPrior = 10;
    const auto found = seen_.find(key);
    return found == seen_.end() ? 0 : (liked_.at(key) - mean_ * found->second) / (found->second + kPrior);
  }

 private:
  double mean_;
  std::map<std::string, double> seen_, liked_;
};

struct Signal {
  double by_item, by_user, by_words;
};

/// AUC on the test rows of an item's rate, of a user's, and of the user's rates of the item's keywords: of the text alone.
Signal measure(const Dataset& d) {
  Rates items(0.65), users(0.65), words(0.65);
  const auto each_word = [&](std::int64_t row, auto visit) {
    const auto i = static_cast<std::size_t>(row);
    const std::string& text = d.items[static_cast<std::size_t>(d.item[i])].keywords;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(", ", begin), text.size());
      visit(fmt::format("{} {}", d.user[i], text.substr(begin, end - begin)));
      begin = end + 2;
    }
  };
  for (const std::int64_t row : d.rows(Split::kTrain)) {
    const auto i = static_cast<std::size_t>(row);
    items.add(std::to_string(d.item[i]), d.label[i]);
    users.add(std::to_string(d.user[i]), d.label[i]);
    each_word(row, [&](const std::string& key) { words.add(key, d.label[i]); });
  }
  std::vector<std::pair<double, std::uint8_t>> by_item, by_user, by_words;
  for (const std::int64_t row : d.rows(Split::kTest)) {
    const auto i = static_cast<std::size_t>(row);
    double sum = 0;
    each_word(row, [&](const std::string& key) { sum += words.excess(key); });
    by_item.emplace_back(items.excess(std::to_string(d.item[i])), d.label[i]);
    by_user.emplace_back(users.excess(std::to_string(d.user[i])), d.label[i]);
    by_words.emplace_back(sum, d.label[i]);
  }
  return {auc(by_item), auc(by_user), auc(by_words)};
}

/// Yelp's size takes sanitizers half a minute, and Book's goes through the same code.
bool too_long(std::string_view like) { return unless_sanitized(false, like == "yelp"); }

class Synthetic : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Synthetic, testing::Values("yelp", "book"), [](const auto& shape) { return shape.param; });

TEST_P(Synthetic, HasThePapersCounts) {
  if (too_long(GetParam())) GTEST_SKIP() << "too long for sanitizers";
  const SyntheticShape& shape = find_shape(GetParam());
  const Dataset d = prepare(synthetic(GetParam(), 1));
  const DatasetSummary s = summarize(d);
  EXPECT_EQ(s.users, shape.users);
  EXPECT_EQ(s.items, shape.items);
  for (std::size_t split = 0; split < 3; ++split) EXPECT_EQ(s.splits[split].rows, shape.rows[split]);
  EXPECT_NEAR(s.sigma_over_mu, shape.sigma_over_mu, 0.02 * shape.sigma_over_mu);
  EXPECT_EQ(d.name, std::string("synthetic-") + GetParam());
  EXPECT_EQ(d.noun.plural, shape.noun_plural);
  EXPECT_EQ(std::set<std::int32_t>(d.item.begin(), d.item.end()).size(), d.items.size());
  EXPECT_NEAR(s.splits[0].positive, shape.positive, 0.01);
  EXPECT_GT(s.splits[2].not_cold, 0.8);
  EXPECT_LT(s.splits[2].not_cold, 0.99);
}

TEST_P(Synthetic, TheSeedIsAllThereIs) {
  const Dataset one = prepare(synthetic(GetParam(), 0.01, 7));
  expect_equal(one, prepare(synthetic(GetParam(), 0.01, 7)));
  const Dataset other = prepare(synthetic(GetParam(), 0.01, 8));
  EXPECT_NE(one.source_hash, other.source_hash);
  EXPECT_NE(one.item, other.item);
  EXPECT_EQ(one.item.size(), other.item.size());
}

TEST_P(Synthetic, Scales) {
  const SyntheticShape& shape = find_shape(GetParam());
  for (const double scale : {0.003, 0.05}) {
    const DatasetSummary s = summarize(prepare(synthetic(GetParam(), scale)));
    EXPECT_EQ(s.users, std::llround(scale * static_cast<double>(shape.users)));
    EXPECT_EQ(s.items, std::llround(scale * static_cast<double>(shape.items)));
    for (std::size_t split = 0; split < 3; ++split)
      EXPECT_EQ(s.splits[split].rows, std::llround(scale * static_cast<double>(shape.rows[split])));
    EXPECT_NEAR(s.sigma_over_mu, shape.sigma_over_mu, 0.02 * shape.sigma_over_mu);
  }
}

TEST_P(Synthetic, SplitsFollowEachOtherInTime) {
  const SyntheticShape& shape = find_shape(GetParam());
  const Dataset d = prepare(synthetic(GetParam(), 0.02));
  for (std::size_t split = 0; split < 3; ++split) {
    std::int64_t before = shape.times[split];
    for (const std::int64_t row : d.splits[split]) {
      const std::int64_t time = d.timestamp[static_cast<std::size_t>(row)];
      EXPECT_GE(time, before);
      EXPECT_LT(time, shape.times[split + 1]);
      EXPECT_EQ(time % shape.time_step, 0);
      before = time;
    }
  }
}

TEST_P(Synthetic, LabelsCanBeLearnt) {
  if (too_long(GetParam())) GTEST_SKIP() << "too long for sanitizers";
  const Signal signal = measure(prepare(synthetic(GetParam(), 0.1)));
  EXPECT_GT(signal.by_item, 0.57);
  EXPECT_GT(signal.by_user, 0.57);
  EXPECT_GT(signal.by_words, 0.6);
  EXPECT_LT(signal.by_words, 0.8);
}

TEST_P(Synthetic, Texts) {
  const Dataset d = prepare(synthetic(GetParam(), 0.02));
  std::set<std::string> titles;
  double title = 0, keywords = 0;
  for (const Item& item : d.items) {
    EXPECT_FALSE(item.title.empty());
    EXPECT_EQ(item.title.find_first_of("@*~^#"), std::string::npos) << item.title;
    EXPECT_GE(std::count(item.keywords.begin(), item.keywords.end(), ','), 4) << item.keywords;
    titles.insert(item.title);
    title += static_cast<double>(item.title.size());
    keywords += static_cast<double>(item.keywords.size());
  }
  const auto n = static_cast<double>(d.items.size());
  EXPECT_GT(static_cast<double>(titles.size()), 0.5 * n);
  EXPECT_GT(title / n, 12);
  EXPECT_LT(title / n, 60);
  EXPECT_GT(keywords / n, 40);
  EXPECT_LT(keywords / n, 100);
}

TEST(LongTailedCounts, SumAndDeviation) {
  for (const auto& [count, total, wanted] :
       {std::tuple(1000, 40000, 1.24), std::tuple(50, 1500, 1.07), std::tuple(300, 900, 0.8)}) {
    const auto counts = long_tailed_counts(count, total, wanted);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), total);
    EXPECT_EQ(static_cast<int>(counts.size()), count);
    EXPECT_TRUE(std::is_sorted(counts.begin(), counts.end()));
    EXPECT_GE(counts.front(), 1);
    const double mean = static_cast<double>(total) / count;
    double squares = 0;
    for (const std::int64_t c : counts) squares += (static_cast<double>(c) - mean) * (static_cast<double>(c) - mean);
    EXPECT_NEAR(std::sqrt(squares / (count - 1)) / mean, wanted, 0.02 * wanted);
  }
  EXPECT_EQ(long_tailed_counts(4, 4, 1), (std::vector<std::int64_t>{1, 1, 1, 1}));
  expect_error(ExitCode::kInternal, {"5 counts of sum 4"}, [] { long_tailed_counts(5, 4, 1); });
  expect_error(ExitCode::kInternal, {"1 counts"}, [] { long_tailed_counts(1, 4, 1); });
}

TEST(SyntheticOptions, Refusals) {
  expect_error(ExitCode::kConfig, {"--like", "'ml1m'", "yelp, book"}, [] { prepare(synthetic("ml1m", 1)); });
  expect_error(ExitCode::kConfig, {"--scale", "0.001", "fewer than 50 of 40617 users", "at least 0.0014"},
               [] { prepare(synthetic("yelp", 0.001)); });
  for (const double scale : {0.0, -1.0, 101.0, std::nan("")})
    expect_error(ExitCode::kConfig, {"--scale", "(0, 100]"}, [&] { prepare(synthetic("book", scale)); });
  prepare(synthetic("yelp", 0.0014));  // what the message says
  prepare(synthetic("book", 0.0025));
}

}  // namespace
}  // namespace thinkrec
