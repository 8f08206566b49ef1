#include "data/prepare.h"

#include "core/error.h"
#include "core/joined.h"
#include "core/log.h"
#include "data/formats/dates.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/interaction_filter.h"

namespace thinkrec {
namespace {

/// Ratings above 4 of the year 2017; users and items with more than 20; ten months of training.
void set_amazon_defaults(PrepareOptions& options) {
  options.threshold = 5;
  options.window_start = parse_date("2017-01-01");
  options.window_end = parse_date("2018-01-01");
  options.train_until = parse_date("2017-11-01");
  options.min_interactions = 20;
  options.unknown_items = UnknownItems::kKeep;
}

/// Stars above 3 of 2010 to 2022; users and items with more than 20; training until November 2019.
void set_yelp_defaults(PrepareOptions& options) {
  options.threshold = 4;
  options.window_start = parse_date("2010-01-01");
  options.window_end = parse_date("2023-01-01");
  options.train_until = parse_date("2019-12-01");
  options.min_interactions = 20;
  options.unknown_items = UnknownItems::kKeep;
}

constexpr Format kFormats[] = {
    {"ratings", "interactions.csv (user,item,rating,timestamp) and items.csv (item,title[,keywords,category,description])",
     read_ratings, false, true},
    {"csv",
     "ready-made splits train.csv, valid.csv, test.csv (row,user_id,item_id,label,timestamp[,history_all,...]) and items.csv "
     "(item_id,title)",
     read_csv_splits, true, true},
    {"recbole", "atomic files NAME.inter and NAME.item", read_recbole, false, true},
    {"movielens", "u.data and u.item (100K), ratings.dat and movies.dat (1M, 10M), or ratings.csv and movies.csv (20M and later)",
     read_movielens, false, false},
    {"amazon", "reviews NAME.json and metadata meta_NAME.json of the 2018 release, one object a line", read_amazon, false, false,
     false, set_amazon_defaults},
    {"yelp", "yelp_academic_dataset_review.json and yelp_academic_dataset_business.json", read_yelp, false, false, false,
     set_yelp_defaults},
    {"synthetic", "no input; data of the size and shape of the paper's by --like, --seed and --scale", make_synthetic, true,
     false, true},
};

void check_options(const PrepareOptions& options) {
  double sum = 0;
  for (const double share : options.split) {
    if (!(share > 0)) fail(ExitCode::kConfig, "--split: every share must be above 0, got {}", joined(options.split, ","));
    sum += share;
  }
  if (!(std::abs(sum - 1) < 1e-6))
    fail(ExitCode::kConfig, "--split: the shares must sum to 1, got {} = {}", joined(options.split, " + "), sum);
  if (options.split_times && (*options.split_times)[0] >= (*options.split_times)[1]) {
    fail(ExitCode::kConfig, "--split-times: the first time must be before the second, got {}", joined(*options.split_times, ","));
  }
  if (options.split_times && options.train_until) fail(ExitCode::kConfig, "give --split-times or --train-until, not both");
  if (options.window_start && options.window_end && *options.window_start >= *options.window_end) {
    fail(ExitCode::kConfig, "the window is empty: --window-start {} is not before --window-end {}", *options.window_start,
         *options.window_end);
  }
  if (!std::isfinite(options.threshold)) fail(ExitCode::kConfig, "--threshold: must be a number");
  if (options.min_interactions < 0)
    fail(ExitCode::kConfig, "--min-interactions: must be 0 or more, got {}", options.min_interactions);
  if (options.k_core < 0) fail(ExitCode::kConfig, "--k-core: must be 0 or more, got {}", options.k_core);
}

/// Sorts raw indices by (new user number, time, raw order): a counting sort by user, then each user's few by time.
std::vector<std::int64_t> sorted_by_user(const RawData& raw, const std::vector<std::int64_t>& kept,
                                         const std::vector<std::int32_t>& user_number,
                                         const std::vector<std::int64_t>& user_begin) {
  std::vector<std::int64_t> order(kept.size());
  std::vector<std::int64_t> next(user_begin.begin(), user_begin.end() - 1);
  for (const std::int64_t i : kept) {
    const auto number = static_cast<std::size_t>(user_number[static_cast<std::size_t>(raw.user[static_cast<std::size_t>(i)])]);
    order[static_cast<std::size_t>(next[number]++)] = i;
  }
  for (std::size_t u = 0; u + 1 < user_begin.size(); ++u) {
    std::stable_sort(order.begin() + user_begin[u], order.begin() + user_begin[u + 1], [&](std::int64_t a, std::int64_t b) {
      return raw.timestamp[static_cast<std::size_t>(a)] < raw.timestamp[static_cast<std::size_t>(b)];
    });
  }
  return order;
}

/// Interaction indices in order of time, cut in three. Ties stay in the order of the interactions: user, then file.
std::array<std::vector<std::int64_t>, 3> split_by_time(const std::vector<std::int64_t>& timestamp,
                                                       const PrepareOptions& options) {
  std::vector<std::int64_t> order(timestamp.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return timestamp[static_cast<std::size_t>(a)] < timestamp[static_cast<std::size_t>(b)];
  });
  std::array<std::int64_t, 4> cut = {0, 0, 0, static_cast<std::int64_t>(order.size())};
  const auto before = [&](std::int64_t time) {
    return std::partition_point(order.begin(), order.end(),
                                [&](std::int64_t i) { return timestamp[static_cast<std::size_t>(i)] < time; }) -
           order.begin();
  };
  if (options.split_times) {
    for (std::size_t s = 0; s < 2; ++s) cut[s + 1] = before((*options.split_times)[s]);
  } else if (options.train_until) {
    cut[1] = before(*options.train_until);
    cut[2] = cut[1] + (cut[3] - cut[1]) / 2;
  } else {
    const auto n = static_cast<double>(order.size());
    cut[1] = std::llround(options.split[0] * n);
    cut[2] = std::llround((options.split[0] + options.split[1]) * n);
  }
  std::array<std::vector<std::int64_t>, 3> splits;
  for (std::size_t s = 0; s < 3; ++s) {
    splits[s].assign(order.begin() + cut[s], order.begin() + cut[s + 1]);
    if (splits[s].empty()) {
      fail(ExitCode::kBadData,
           "the {} split is empty: none of the {} interactions, timestamps {} to {}, falls into it; change {}", kSplitNames[s],
           order.size(), timestamp[static_cast<std::size_t>(order.front())], timestamp[static_cast<std::size_t>(order.back())],
           options.split_times   ? "--split-times"
           : options.train_until ? "--train-until"
                                 : "--split");
    }
  }
  return splits;
}

/// The ready-made splits, whose raw indices become interaction indices.
std::array<std::vector<std::int64_t>, 3> renumbered(const std::array<std::vector<std::int64_t>, 3>& raw_splits,
                                                    const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> index_of(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) index_of[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  std::array<std::vector<std::int64_t>, 3> splits = raw_splits;
  for (auto& split : splits) {
    for (std::int64_t& row : split) row = index_of[static_cast<std::size_t>(row)];
  }
  return splits;
}

/// MovieLens by the usual spellings of its name: ml-100k, ml1m.
bool is_movielens(const PrepareOptions& options, const std::string& name) {
  return options.format == "movielens" ||
         (name.size() > 2 && name.starts_with("ml") && (name[2] == '-' || (name[2] >= '0' && name[2] <= '9')));
}

struct Repeats {
  std::int64_t interactions = 0, same_time = 0;
};

Repeats count_repeats(const Dataset& dataset) {
  Repeats out;
  std::vector<std::pair<std::int32_t, std::int64_t>> seen;  // item, time
  for (std::size_t u = 0; u < dataset.users.size(); ++u) {
    seen.clear();
    for (auto i = static_cast<std::size_t>(dataset.user_begin[u]); i < static_cast<std::size_t>(dataset.user_begin[u + 1]); ++i)
      seen.emplace_back(dataset.item[i], dataset.timestamp[i]);
    std::sort(seen.begin(), seen.end());
    for (std::size_t k = 1; k < seen.size(); ++k) {
      out.interactions += seen[k].first == seen[k - 1].first ? 1 : 0;
      out.same_time += seen[k] == seen[k - 1] ? 1 : 0;
    }
  }
  return out;
}

void warn_of_mended(const RawData& raw) {
  if (raw.untitled_items > 0) log_warning("{} items have no title; their id stands in for it", raw.untitled_items);
  if (raw.unlisted_items > 0)
    log_warning("{} items are not in the items file; their id stands in for the title", raw.unlisted_items);
  if (raw.relisted_items > 0) log_warning("{} further records of items listed already are left out", raw.relisted_items);
  if (raw.dropped_interactions > 0) log_warning("{} interactions with unknown items are left out", raw.dropped_interactions);
}

std::string folder_name(const std::string& path) {
  const auto absolute = std::filesystem::absolute(path).lexically_normal();
  return from_latin1((absolute.has_filename() ? absolute : absolute.parent_path()).filename().string());
}

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format& find_format(const std::string& name) {
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    if (name == format.name) return format;
    names.emplace_back(format.name);
  }
  fail(ExitCode::kConfig, "there is no format '{}'; the formats are {}", name, joined(names, ", "));
}

PrepareOptions default_options(const std::string& format) {
  PrepareOptions options;
  options.format = format;
  if (const auto set = find_format(format).set_defaults) set(options);
  return options;
}

Dataset build_dataset(const RawData& raw, const PrepareOptions& options) {
  check_options(options);
  if (raw.has_splits() && (options.window_start || options.window_end || options.min_interactions > 0 || options.k_core > 0 ||
                           options.duplicates != Duplicates::kKeep)) {
    fail(ExitCode::kConfig,
         "{}: ready-made splits cannot be filtered; leave --window-start, --window-end, --min-interactions, --k-core and "
         "--duplicates out",
         options.input);
  }
  const std::vector<std::int64_t> kept = kept_interactions(raw, options);
  if (kept.empty()) {
    fail(ExitCode::kBadData,
         "{}: of {} interactions none is left; widen --window-start and --window-end, lower --min-interactions (now {}) and "
         "--k-core (now {})",
         options.input, raw.user.size(), options.min_interactions, options.k_core);
  }

  Dataset dataset;
  dataset.name = !options.name.empty()  ? options.name
                 : options.like.empty() ? folder_name(options.input)
                                        : options.format + "-" + options.like;
  dataset.noun = options.noun                          ? *options.noun
                 : raw.noun                            ? *raw.noun
                 : is_movielens(options, dataset.name) ? Noun{"movie", "movies"}
                                                       : Noun{};
  dataset.threshold = raw.labelled ? 1 : options.threshold;
  dataset.source_hash = raw.source_hash;

  std::vector<std::int32_t> user_number(raw.users.size(), -1), item_number(raw.items.size(), -1);
  std::vector<std::int64_t> count;
  for (const std::int64_t i : kept) {
    const auto user = static_cast<std::size_t>(raw.user[static_cast<std::size_t>(i)]);
    if (user_number[user] < 0) {
      user_number[user] = static_cast<std::int32_t>(dataset.users.size());
      dataset.users.push_back(raw.users[user]);
      count.push_back(0);
    }
    ++count[static_cast<std::size_t>(user_number[user])];
    item_number[static_cast<std::size_t>(raw.item[static_cast<std::size_t>(i)])] = 0;  // rated; numbered below
  }
  for (std::size_t i = 0; i < raw.items.size(); ++i) {
    if (item_number[i] < 0 && !options.keep_unrated_items) continue;
    item_number[i] = static_cast<std::int32_t>(dataset.items.size());
    dataset.items.push_back(raw.items[i]);
  }
  dataset.user_begin.assign(1, 0);
  for (const std::int64_t c : count) dataset.user_begin.push_back(dataset.user_begin.back() + c);

  const std::vector<std::int64_t> order = sorted_by_user(raw, kept, user_number, dataset.user_begin);
  for (auto* values : {&dataset.user, &dataset.item}) values->reserve(order.size());
  dataset.label.reserve(order.size());
  dataset.timestamp.reserve(order.size());
  for (const std::int64_t at : order) {
    const auto i = static_cast<std::size_t>(at);
    dataset.user.push_back(user_number[static_cast<std::size_t>(raw.user[i])]);
    dataset.item.push_back(item_number[static_cast<std::size_t>(raw.item[i])]);
    dataset.label.push_back(raw.rating[i] >= dataset.threshold ? 1 : 0);
    dataset.timestamp.push_back(raw.timestamp[i]);
  }
  dataset.splits = raw.has_splits() ? renumbered(raw.splits, order) : split_by_time(dataset.timestamp, options);
  dataset.check(options.input);
  return dataset;
}

Dataset prepare(const PrepareOptions& options) {
  const Format& format = find_format(options.format);
  check_options(options);  // before minutes of reading
  const RawData raw = format.read(options);
  log_info("read {} interactions of {} users and {} items from {} ({})", raw.user.size(), raw.users.size(), raw.items.size(),
           options.input.empty() ? "the seed" : options.input, format.name);
  warn_of_mended(raw);
  Dataset dataset = build_dataset(raw, options);
  if (dataset.user.size() < raw.user.size())
    log_info("kept {} interactions after the window, --duplicates, --min-interactions and --k-core", dataset.user.size());
  if (const Repeats repeats = count_repeats(dataset); repeats.interactions > 0 && !format.ready_made) {
    log_info("{} interactions are of a user with an item from before, {} of them at the same time; --duplicates keeps one each",
             repeats.interactions, repeats.same_time);
  }
  return dataset;
}

}  // namespace thinkrec
