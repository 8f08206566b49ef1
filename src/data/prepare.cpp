#include "data/prepare.h"

#include "core/error.h"
#include "core/log.h"
#include "data/formats/formats.h"

namespace thinkrec {
namespace {

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
};

void check_options(const PrepareOptions& options) {
  double sum = 0;
  for (const double share : options.split) {
    if (!(share > 0)) fail(ExitCode::kConfig, "--split: every share must be above 0, got {}", fmt::join(options.split, ","));
    sum += share;
  }
  if (!(std::abs(sum - 1) < 1e-6))
    fail(ExitCode::kConfig, "--split: the shares must sum to 1, got {} = {}", fmt::join(options.split, " + "), sum);
  if (options.split_times && (*options.split_times)[0] >= (*options.split_times)[1]) {
    fail(ExitCode::kConfig, "--split-times: the first time must be before the second, got {}",
         fmt::join(*options.split_times, ","));
  }
  if (options.window_start && options.window_end && *options.window_start >= *options.window_end) {
    fail(ExitCode::kConfig, "the window is empty: --window-start {} is not before --window-end {}", *options.window_start,
         *options.window_end);
  }
  if (!std::isfinite(options.threshold)) fail(ExitCode::kConfig, "--threshold: must be a number");
  if (options.min_interactions < 0)
    fail(ExitCode::kConfig, "--min-interactions: must be 0 or more, got {}", options.min_interactions);
}

/// Raw indices of the interactions inside the window whose user and item have enough of them, in raw order.
std::vector<std::int64_t> kept_interactions(const RawData& raw, const PrepareOptions& options) {
  std::vector<std::int64_t> kept;
  kept.reserve(raw.user.size());
  for (std::size_t i = 0; i < raw.user.size(); ++i) {
    if (options.window_start && raw.timestamp[i] < *options.window_start) continue;
    if (options.window_end && raw.timestamp[i] >= *options.window_end) continue;
    kept.push_back(static_cast<std::int64_t>(i));
  }
  if (options.min_interactions == 0) return kept;
  std::vector<std::int64_t> of_user(raw.users.size()), of_item(raw.items.size());
  for (const std::int64_t i : kept) {
    ++of_user[static_cast<std::size_t>(raw.user[static_cast<std::size_t>(i)])];
    ++of_item[static_cast<std::size_t>(raw.item[static_cast<std::size_t>(i)])];
  }
  std::erase_if(kept, [&](std::int64_t i) {
    return of_user[static_cast<std::size_t>(raw.user[static_cast<std::size_t>(i)])] <= options.min_interactions ||
           of_item[static_cast<std::size_t>(raw.item[static_cast<std::size_t>(i)])] <= options.min_interactions;
  });
  return kept;
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
  if (options.split_times) {
    for (std::size_t s = 0; s < 2; ++s) {
      cut[s + 1] = std::partition_point(
                       order.begin(), order.end(),
                       [&](std::int64_t i) { return timestamp[static_cast<std::size_t>(i)] < (*options.split_times)[s]; }) -
                   order.begin();
    }
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
           options.split_times ? "--split-times" : "--split");
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

std::string folder_name(const std::string& path) {
  const auto absolute = std::filesystem::absolute(path).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
}

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format& find_format(const std::string& name) {
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    if (name == format.name) return format;
    names.emplace_back(format.name);
  }
  fail(ExitCode::kConfig, "there is no format '{}'; the formats are {}", name, fmt::join(names, ", "));
}

Dataset build_dataset(const RawData& raw, const PrepareOptions& options) {
  check_options(options);
  if (raw.has_splits() && (options.window_start || options.window_end || options.min_interactions > 0)) {
    fail(ExitCode::kConfig,
         "{}: ready-made splits cannot be filtered; leave --window-start, --window-end and --min-interactions out",
         options.input);
  }
  const std::vector<std::int64_t> kept = kept_interactions(raw, options);
  if (kept.empty()) {
    fail(ExitCode::kBadData,
         "{}: of {} interactions none is left; widen --window-start and --window-end, lower --min-interactions (now {})",
         options.input, raw.user.size(), options.min_interactions);
  }

  Dataset dataset;
  dataset.name = options.name.empty() ? folder_name(options.input) : options.name;
  dataset.noun = options.noun ? *options.noun : is_movielens(options, dataset.name) ? Noun{"movie", "movies"} : Noun{};
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
           options.input, format.name);
  if (raw.untitled_items > 0) log_warning("{} items have no title; their id stands in for it", raw.untitled_items);
  if (raw.dropped_interactions > 0) log_warning("{} interactions with unknown items are left out", raw.dropped_interactions);
  Dataset dataset = build_dataset(raw, options);
  if (dataset.user.size() < raw.user.size())
    log_info("kept {} interactions after the window and --min-interactions", dataset.user.size());
  return dataset;
}

}  // namespace thinkrec
