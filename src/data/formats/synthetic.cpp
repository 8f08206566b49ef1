#include "data/formats/synthetic.h"

#include <numeric>
#include <random>

#include "core/error.h"
#include "core/joined.h"
#include "data/formats/fields.h"
#include "data/formats/synthetic_words.h"
#include "io/file.h"

namespace thinkrec {
namespace {

constexpr SyntheticShape kShapes[] = {
    {"yelp",
     40617,
     60014,
     {1637168, 144929, 144929},
     1.24,
     0.68,
     0.03,
     0.45,
     {1262304000, 1575158400, 1612137600, 1642636800},
     1,
     "business",
     "businesses"},
    {"book",
     22686,
     47059,
     {650865, 56262, 56262},
     1.07,
     0.65,
     0.02,
     0.8,
     {1483228800, 1509494400, 1512086400, 1514764800},
     86400,
     "book",
     "books"},
};

// Standard deviations of the parts of a label's logit.
constexpr double kUserBias = 0.7, kQuality = 1, kGenreTaste = 1, kTraitTaste = 1;
constexpr double kMinorGenre = 0.4;  // an item's second genre counts so much
constexpr double kHome = 0.9;        // share of interactions in the user's own place
constexpr double kNewItems = 0.3;    // share of items that are not there from the beginning
constexpr std::int64_t kFewestUsers = 50;

/// Distributions of our own: those of <random> differ between standard libraries.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }  ///< in [0, 1)
  std::size_t below(std::size_t n) { return std::min(n - 1, static_cast<std::size_t>(uniform() * static_cast<double>(n))); }
  double normal() {
    constexpr double kTau = 6.283185307179586;
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(kTau * uniform());
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }
  template <class Range>
  const auto& one_of(const Range& range) {
    return range[below(range.size())];
  }

 private:
  std::mt19937_64 engine_;
};

/// Draws indices by weight.
class Weighted {
 public:
  void add(double weight) { sums_.push_back((sums_.empty() ? 0 : sums_.back()) + weight); }
  bool empty() const { return sums_.empty(); }
  std::size_t draw(Random& random) const {
    const double at = random.uniform() * sums_.back();
    return std::min(sums_.size() - 1, static_cast<std::size_t>(std::upper_bound(sums_.begin(), sums_.end(), at) - sums_.begin()));
  }

 private:
  std::vector<double> sums_;
};

double log_logistic(std::size_t k, std::size_t n, double spread) {
  const double p = (static_cast<double>(k) + 0.5) / static_cast<double>(n);
  return std::pow(p / (1 - p), spread);
}

struct SyntheticItem {
  std::size_t genre = 0, minor = 0, place = 0;
  std::array<double, kTraits> traits{};
  double quality = 0;
  std::int64_t release = 0;
};

struct SyntheticUser {
  std::array<double, kGenres> genres{};
  std::array<double, kTraits> traits{};
  double bias = 0;
  std::size_t home = 0;
  std::array<std::int64_t, 3> rows{};  // of the splits
};

class World {
 public:
  World(const PrepareOptions& options, const SyntheticShape& shape)
      : shape_(shape),
        words_(std::string_view(shape.name) == "book" ? book_words() : business_words()),
        random_(options.seed),
        places_(std::max<std::size_t>(1, words_.places.size())) {
    const auto scaled = [&](std::int64_t n) { return std::llround(options.scale * static_cast<double>(n)); };
    users_.resize(static_cast<std::size_t>(scaled(shape.users)));
    items_.resize(static_cast<std::size_t>(scaled(shape.items)));
    for (std::size_t s = 0; s < 3; ++s) rows_[s] = scaled(shape.rows[s]);
    for (std::size_t p = 0; p < places_; ++p) place_weights_.add(1 / static_cast<double>(p + 1));
  }

  RawData make() {
    make_items();
    make_users();
    count_train_rows();
    count_late_rows();
    for (std::size_t u = 0; u < users_.size(); ++u) make_rows(u);
    rate_every_item();
    label_rows();
    sort_splits();
    return std::move(raw_);
  }

 private:
  // --- items ---

  void make_items() {
    std::vector<std::size_t> rank(items_.size());
    std::iota(rank.begin(), rank.end(), std::size_t{0});
    random_.shuffle(rank);
    buckets_.resize(places_ * kGenres);
    members_.resize(buckets_.size());
    for (std::size_t i = 0; i < items_.size(); ++i) {
      SyntheticItem& item = items_[i];
      item.genre = random_.below(kGenres);
      item.minor = random_.below(kGenres);
      item.place = place_weights_.draw(random_);
      for (double& trait : item.traits) trait = random_.normal();
      item.quality = random_.normal();
      item.release = shape_.times[0];
      if (random_.uniform() < kNewItems) item.release += static_cast<std::int64_t>(random_.uniform() * 0.95 * span(0, 3));
      const double popularity = 0.3 + log_logistic(rank[i], items_.size(), 0.6);
      const std::size_t bucket = item.place * kGenres + item.genre;
      buckets_[bucket].add(popularity);
      members_[bucket].push_back(static_cast<std::int32_t>(i));
      everywhere_.add(popularity);
      raw_.items.push_back({fmt::format("i{}", i + 1), title(item), keywords(item), ""});
    }
  }

  std::string title(const SyntheticItem& item) {
    const auto& nouns = words_.genres[item.genre].nouns;
    const auto& minor_nouns = words_.genres[item.minor].nouns;
    std::string out;
    bool first = true;
    for (const char c : random_.one_of(words_.patterns)) {
      if (c == '@') {
        out += random_.one_of(words_.adjectives);
      } else if (c == '*') {
        out += random_.one_of(first ? nouns : minor_nouns);
        first = false;
      } else if (c == '~') {
        out += random_.one_of(words_.names);
      } else if (c == '^') {
        out += words_.places[item.place];
      } else if (c == '#') {
        out += std::to_string(1 + random_.below(9));
      } else {
        out += c;
      }
    }
    return out;
  }

  /// Place or author, genres, and the two strongest traits.
  std::string keywords(const SyntheticItem& item) {
    std::string out(places_ > 1 ? words_.places[item.place] : random_.one_of(words_.names));
    const Genre& genre = words_.genres[item.genre];
    out += fmt::format("|{}|{}", genre.keywords[0], genre.keywords[1 + random_.below(3)]);
    if (item.minor != item.genre) out += fmt::format("|{}", words_.genres[item.minor].keywords[0]);
    std::array<std::size_t, kTraits> order{};
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return std::abs(item.traits[a]) > std::abs(item.traits[b]); });
    for (std::size_t k = 0; k < 2; ++k) out += fmt::format("|{}", words_.traits[order[k]][item.traits[order[k]] > 0 ? 1 : 0]);
    return normalize_keywords(out);
  }

  // --- users ---

  void make_users() {
    for (std::size_t u = 0; u < users_.size(); ++u) {
      SyntheticUser& user = users_[u];
      for (double& taste : user.genres) taste = random_.normal();
      for (double& taste : user.traits) taste = random_.normal();
      user.bias = random_.normal();
      user.home = place_weights_.draw(random_);
      raw_.users.push_back(fmt::format("u{}", u + 1));
    }
  }

  std::size_t cold_users() const {
    return static_cast<std::size_t>(std::llround(shape_.cold_users * static_cast<double>(users_.size())));
  }

  /// The last users have no train rows.
  void count_train_rows() {
    const std::size_t n = users_.size() - cold_users();
    auto counts = long_tailed_counts(static_cast<std::int64_t>(n), rows_[0], shape_.sigma_over_mu);
    random_.shuffle(counts);
    for (std::size_t u = 0; u < n; ++u) users_[u].rows[0] = counts[u];
  }

  /// One row at least for a user without train rows; the others go to those who are still there, the busy ones first.
  void count_late_rows() {
    const std::size_t warm = users_.size() - cold_users();
    const double mean = static_cast<double>(rows_[0]) / static_cast<double>(warm);
    Weighted weights;
    for (std::size_t u = 0; u < users_.size(); ++u) {
      const bool late = u >= warm || random_.uniform() < shape_.late_users;
      weights.add(!late ? 0 : u >= warm ? mean : static_cast<double>(users_[u].rows[0]));
    }
    std::array<std::int64_t, 3> left = rows_;
    for (std::size_t u = warm; u < users_.size(); ++u) {
      const std::size_t s = left[1] >= left[2] ? 1 : 2;
      ++users_[u].rows[s];
      --left[s];
    }
    for (std::size_t s = 1; s < 3; ++s) {
      for (; left[s] > 0; --left[s]) ++users_[weights.draw(random_)].rows[s];
    }
  }

  // --- rows ---

  double span(std::size_t from, std::size_t to) const { return static_cast<double>(shape_.times[to] - shape_.times[from]); }

  /// When the user is active in a split: from somewhere, later rather than earlier, to somewhere, or to the end.
  std::vector<std::int64_t> draw_times(const SyntheticUser& user, std::size_t split) {
    double begin = 0, end = 1;
    if (split == 0) {
      begin = 0.95 * std::sqrt(random_.uniform());
      if (user.rows[1] + user.rows[2] == 0) end = begin + (1 - begin) * (0.2 + 0.8 * random_.uniform());
    }
    std::vector<std::int64_t> times(static_cast<std::size_t>(user.rows[split]));
    for (std::int64_t& time : times) {
      const double at = (begin + (end - begin) * random_.uniform()) * span(split, split + 1);
      time = shape_.times[split] + static_cast<std::int64_t>(at) / shape_.time_step * shape_.time_step;
    }
    std::sort(times.begin(), times.end());
    return times;
  }

  void make_rows(std::size_t u) {
    const SyntheticUser& user = users_[u];
    Weighted genres;
    for (const double taste : user.genres) genres.add(std::exp(taste));
    last_user_.resize(items_.size(), -1);
    for (std::size_t split = 0; split < 3; ++split) {
      for (const std::int64_t time : draw_times(user, split)) {
        raw_.splits[split].push_back(static_cast<std::int64_t>(raw_.user.size()));
        raw_.user.push_back(static_cast<std::int32_t>(u));
        raw_.item.push_back(choose_item(static_cast<std::int32_t>(u), genres, time));
        raw_.timestamp.push_back(time);
      }
    }
  }

  /// A new one that is there already, where a few draws find one.
  std::int32_t choose_item(std::int32_t u, const Weighted& genres, std::int64_t time) {
    constexpr int kDraws = 10;
    std::size_t item = 0;
    for (int k = 0; k < kDraws; ++k) {
      item = draw_item(users_[static_cast<std::size_t>(u)], genres);
      if (items_[item].release <= time && last_user_[item] != u) break;
    }
    last_user_[item] = u;
    return static_cast<std::int32_t>(item);
  }

  std::size_t draw_item(const SyntheticUser& user, const Weighted& genres) {
    const std::size_t place = random_.uniform() < kHome ? user.home : place_weights_.draw(random_);
    const std::size_t bucket = place * kGenres + genres.draw(random_);
    if (buckets_[bucket].empty()) return everywhere_.draw(random_);
    return static_cast<std::size_t>(members_[bucket][buckets_[bucket].draw(random_)]);
  }

  /// An item that nobody met takes the place of one that several did.
  void rate_every_item() {
    std::vector<std::int64_t> count(items_.size());
    for (const std::int32_t item : raw_.item) ++count[static_cast<std::size_t>(item)];
    for (std::size_t i = 0; i < items_.size(); ++i) {
      while (count[i] == 0) {
        const std::size_t row = random_.below(raw_.item.size());
        auto& rows_of_other = count[static_cast<std::size_t>(raw_.item[row])];
        if (rows_of_other < 2) continue;
        --rows_of_other;
        raw_.item[row] = static_cast<std::int32_t>(i);
        count[i] = 1;
      }
    }
  }

  // --- labels ---

  double logit(const SyntheticUser& user, const SyntheticItem& item) const {
    double traits = 0;
    for (std::size_t k = 0; k < kTraits; ++k) traits += user.traits[k] * item.traits[k];
    const double genres = (1 - kMinorGenre) * user.genres[item.genre] + kMinorGenre * user.genres[item.minor];
    return kUserBias * user.bias + kQuality * item.quality + kGenreTaste * genres +
           kTraitTaste * traits / std::sqrt(static_cast<double>(kTraits));
  }

  void label_rows() {
    std::vector<double> logits(raw_.user.size());
    for (std::size_t r = 0; r < logits.size(); ++r)
      logits[r] = logit(users_[static_cast<std::size_t>(raw_.user[r])], items_[static_cast<std::size_t>(raw_.item[r])]);
    const auto chance = [](double x) { return 1 / (1 + std::exp(-x)); };
    double low = -10, high = 10;
    for (int k = 0; k < 30; ++k) {
      const double base = (low + high) / 2;
      double sum = 0;
      for (const double x : logits) sum += chance(base + x);
      (sum < shape_.positive * static_cast<double>(logits.size()) ? low : high) = base;
    }
    for (const double x : logits) raw_.rating.push_back(random_.uniform() < chance(low + x) ? 1 : 0);
  }

  void sort_splits() {
    for (auto& split : raw_.splits) {
      std::stable_sort(split.begin(), split.end(), [&](std::int64_t a, std::int64_t b) {
        return raw_.timestamp[static_cast<std::size_t>(a)] < raw_.timestamp[static_cast<std::size_t>(b)];
      });
    }
  }

  const SyntheticShape& shape_;
  const Words& words_;
  Random random_;
  std::size_t places_;
  std::array<std::int64_t, 3> rows_{};
  std::vector<SyntheticItem> items_;
  std::vector<SyntheticUser> users_;
  Weighted place_weights_, everywhere_;
  std::vector<Weighted> buckets_;                   // by place and genre
  std::vector<std::vector<std::int32_t>> members_;  // of the buckets
  std::vector<std::int32_t> last_user_;             // of an item
  RawData raw_;
};

/// Counts for one spread: 1 each, and the rest by the quantiles' weights; what rounding leaves goes to the largest.
std::vector<std::int64_t> counts_of_spread(std::size_t n, std::int64_t total, double spread) {
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) sum += log_logistic(k, n, spread);
  std::vector<std::int64_t> counts(n);
  std::int64_t left = total;
  const auto shared = static_cast<double>(total - static_cast<std::int64_t>(n));
  for (std::size_t k = 0; k < n; ++k)
    left -= counts[k] = 1 + static_cast<std::int64_t>(shared * log_logistic(k, n, spread) / sum);
  for (std::size_t k = n; left > 0; --left) ++counts[k = k == 0 ? n - 1 : k - 1];
  return counts;
}

double sample_deviation_over_mean(const std::vector<std::int64_t>& counts, std::int64_t total) {
  const auto n = static_cast<double>(counts.size());
  const double mean = static_cast<double>(total) / n;
  double squares = 0;
  for (const std::int64_t count : counts) squares += (static_cast<double>(count) - mean) * (static_cast<double>(count) - mean);
  return std::sqrt(squares / (n - 1)) / mean;
}

}  // namespace

const SyntheticShape& find_shape(const std::string& name) {
  std::vector<std::string> names;
  for (const SyntheticShape& shape : kShapes) {
    if (name == shape.name) return shape;
    names.emplace_back(shape.name);
  }
  fail(ExitCode::kConfig, "--like: there is no '{}'; there are {}", name, joined(names, ", "));
}

std::vector<std::int64_t> long_tailed_counts(std::int64_t count, std::int64_t total, double sigma_over_mu) {
  THINKREC_CHECK(count > 1 && total >= count, "{} counts of sum {}", count, total);
  const auto n = static_cast<std::size_t>(count);
  double low = 0, high = 3;
  for (int k = 0; k < 30; ++k) {
    const double spread = (low + high) / 2;
    (sample_deviation_over_mean(counts_of_spread(n, total, spread), total) < sigma_over_mu ? low : high) = spread;
  }
  return counts_of_spread(n, total, low);
}

RawData make_synthetic(const PrepareOptions& options) {
  const SyntheticShape& shape = find_shape(options.like);
  if (!(options.scale > 0 && options.scale <= 100))
    fail(ExitCode::kConfig, "--scale: must lie in (0, 100], got {}", options.scale);
  if (options.scale * static_cast<double>(shape.users) < kFewestUsers) {
    fail(ExitCode::kConfig, "--scale: {} leaves fewer than {} of {} users; take at least {:.2g}", options.scale, kFewestUsers,
         shape.users, 1.1 * kFewestUsers / static_cast<double>(shape.users));
  }
  RawData raw = World(options, shape).make();
  raw.labelled = true;
  raw.noun = Noun{shape.noun_singular, shape.noun_plural};
  raw.source_hash = sha256_hex(fmt::format("synthetic 1, like {}, seed {}, scale {}", shape.name, options.seed, options.scale));
  return raw;
}

}  // namespace thinkrec
