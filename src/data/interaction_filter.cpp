#include "data/interaction_filter.h"

#include <numeric>

namespace thinkrec {
namespace {

std::size_t user_of(const RawData& raw, std::int64_t i) {
  return static_cast<std::size_t>(raw.user[static_cast<std::size_t>(i)]);
}
std::size_t item_of(const RawData& raw, std::int64_t i) {
  return static_cast<std::size_t>(raw.item[static_cast<std::size_t>(i)]);
}

/// Of each user's interactions with one item the first or the last in (time, raw order).
void keep_one_each(const RawData& raw, Duplicates which, std::vector<std::int64_t>& kept) {
  const auto pair_of = [&](std::int64_t i) { return std::pair(user_of(raw, i), item_of(raw, i)); };
  std::sort(kept.begin(), kept.end(), [&](std::int64_t a, std::int64_t b) {
    return std::tuple(pair_of(a), raw.timestamp[static_cast<std::size_t>(a)], a) <
           std::tuple(pair_of(b), raw.timestamp[static_cast<std::size_t>(b)], b);
  });
  if (which == Duplicates::kLast) std::reverse(kept.begin(), kept.end());
  const auto same = [&](std::int64_t a, std::int64_t b) { return pair_of(a) == pair_of(b); };
  kept.erase(std::unique(kept.begin(), kept.end(), same), kept.end());
  std::sort(kept.begin(), kept.end());
}

/// Leaves out the interactions whose user or item has fewer than `least`; true when there were any.
bool keep_frequent(const RawData& raw, std::int64_t least, std::vector<std::int64_t>& kept) {
  std::vector<std::int64_t> of_user(raw.users.size()), of_item(raw.items.size());
  for (const std::int64_t i : kept) {
    ++of_user[user_of(raw, i)];
    ++of_item[item_of(raw, i)];
  }
  return std::erase_if(kept,
                       [&](std::int64_t i) { return of_user[user_of(raw, i)] < least || of_item[item_of(raw, i)] < least; }) > 0;
}

}  // namespace

std::vector<std::int64_t> kept_interactions(const RawData& raw, const PrepareOptions& options) {
  std::vector<std::int64_t> kept;
  kept.reserve(raw.user.size());
  for (std::size_t i = 0; i < raw.user.size(); ++i) {
    if (options.window_start && raw.timestamp[i] < *options.window_start) continue;
    if (options.window_end && raw.timestamp[i] >= *options.window_end) continue;
    kept.push_back(static_cast<std::int64_t>(i));
  }
  if (options.duplicates != Duplicates::kKeep) keep_one_each(raw, options.duplicates, kept);
  if (options.min_interactions > 0) keep_frequent(raw, options.min_interactions + 1, kept);
  while (options.k_core > 1 && keep_frequent(raw, options.k_core, kept)) {
  }
  return kept;
}

}  // namespace thinkrec
