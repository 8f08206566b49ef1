#include "experts/balance.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <tuple>

#include "core/error.h"

namespace thinkrec {

std::vector<int> balance_rows(std::span<const std::int64_t> tokens, int ranks) {
  THINKREC_CHECK(ranks >= 1, "{} ranks", ranks);
  std::vector<std::size_t> order(tokens.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tokens[a] > tokens[b]; });
  using Load = std::tuple<std::int64_t, std::int64_t, int>;  // tokens, rows, rank
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (int rank = 0; rank < ranks; ++rank) loads.emplace(0, 0, rank);
  std::vector<int> owner(tokens.size());
  for (const std::size_t row : order) {
    THINKREC_CHECK(tokens[row] >= 0, "row {} has {} tokens", row, tokens[row]);
    const auto [load, rows, rank] = loads.top();
    loads.pop();
    owner[row] = rank;
    loads.emplace(load + tokens[row], rows + 1, rank);
  }
  return owner;
}

}  // namespace thinkrec
