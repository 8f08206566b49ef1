#include "encoders/moment.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace thinkrec {

std::vector<Moment> moments_before(const Dataset& dataset, std::span<const std::int64_t> rows) {
  std::vector<Moment> moments;
  moments.reserve(rows.size());
  for (std::int64_t row : rows) {
    THINKREC_CHECK(row >= 0 && row < dataset.interactions(), "row {} of {}", row, dataset.interactions());
    const std::int32_t user = dataset.user[row];
    moments.push_back({user, row - dataset.user_begin[user]});
  }
  return moments;
}

std::vector<Moment> moments_before_test(const Dataset& dataset) {
  std::vector<Moment> moments;
  for (std::size_t user = 0; user < dataset.users.size(); ++user)
    moments.push_back({static_cast<std::int32_t>(user), dataset.user_begin[user + 1] - dataset.user_begin[user]});
  for (std::int64_t row : dataset.rows(Split::kTest)) {
    Moment& moment = moments[dataset.user[row]];
    moment.place = std::min(moment.place, row - dataset.user_begin[moment.user]);
  }
  return moments;
}

std::vector<std::int64_t> order_of_moments(std::span<const Moment> moments) {
  std::vector<std::int64_t> order(moments.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return moments[a] < moments[b]; });
  return order;
}

}  // namespace thinkrec
