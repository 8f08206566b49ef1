#include "experts/grouping.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "experts/clustering.h"

namespace thinkrec {
namespace {

void check_arguments(std::span<const float> vectors, std::int64_t users, std::int64_t d, int groups) {
  THINKREC_CHECK(users >= 0 && d >= 1 && vectors.size() / static_cast<std::size_t>(d) == static_cast<std::size_t>(users) &&
                     vectors.size() % static_cast<std::size_t>(d) == 0,
                 "{} values for {} users of width {}", vectors.size(), users, d);
  if (groups < 1) fail(ExitCode::kConfig, "group.count is {}: at least one group is needed", groups);
  if (groups > users) fail(ExitCode::kConfig, "group.count is {}, but there are only {} users: lower it", groups, users);
  const auto bad = std::find_if(vectors.begin(), vectors.end(), [](float value) { return !std::isfinite(value); });
  if (bad != vectors.end()) {
    fail(ExitCode::kDiverged, "grouping: the vector of user {} is not finite; the encoder that made it has diverged",
         (bad - vectors.begin()) / d);
  }
}

/// Mean and deviation of dimension j. Kept as float, since that is what the gate will read back; the clustering uses the same
/// floats.
void standardise(std::span<const float> vectors, std::int64_t users, std::int64_t d, std::int64_t j, float& center,
                 float& scale) {
  const auto at = [&](std::int64_t user) { return static_cast<double>(vectors[static_cast<std::size_t>(user * d + j)]); };
  double sum = 0, low = at(0), high = at(0);
  for (std::int64_t user = 0; user < users; ++user) {
    sum += at(user);
    low = std::min(low, at(user));
    high = std::max(high, at(user));
  }
  const double mean = std::clamp(sum / static_cast<double>(users), low, high);  // exactly the value of a constant dimension
  double squares = 0;
  for (std::int64_t user = 0; user < users; ++user) squares += (at(user) - mean) * (at(user) - mean);
  center = static_cast<float>(mean);
  scale = static_cast<float>(std::sqrt(squares / static_cast<double>(users)));
  if (low == high || !(scale > 0)) scale = 1;
}

/// New number of each cluster: by descending size, then by smallest member.
std::vector<std::int32_t> numbering(const std::vector<std::int32_t>& cluster, int clusters) {
  const auto count = static_cast<std::size_t>(clusters);
  std::vector<std::int64_t> size(count, 0), first(count, std::numeric_limits<std::int64_t>::max());
  for (std::size_t user = 0; user < cluster.size(); ++user) {
    const auto c = static_cast<std::size_t>(cluster[user]);
    ++size[c];
    first[c] = std::min(first[c], static_cast<std::int64_t>(user));
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return size[a] != size[b] ? size[a] > size[b] : first[a] < first[b]; });
  std::vector<std::int32_t> number(count);
  for (std::size_t place = 0; place < count; ++place) number[order[place]] = static_cast<std::int32_t>(place);
  return number;
}

}  // namespace

std::vector<double> scaled_vector(std::span<const float> vector, std::span<const float> center, std::span<const float> scale) {
  THINKREC_CHECK(vector.size() == center.size() && vector.size() == scale.size(), "width {}, center {}, scale {}", vector.size(),
                 center.size(), scale.size());
  std::vector<double> out(vector.size());
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = (static_cast<double>(vector[j]) - center[j]) / scale[j];
  return out;
}

Grouping group_users(std::span<const float> vectors, std::int64_t users, std::int64_t d, int groups, GroupingMethod method,
                     std::uint64_t seed) {
  check_arguments(vectors, users, d, groups);
  Grouping out;
  out.groups = groups;
  out.center.resize(static_cast<std::size_t>(d));
  out.scale.resize(static_cast<std::size_t>(d));
  for (std::int64_t j = 0; j < d; ++j) {
    standardise(vectors, users, d, j, out.center[static_cast<std::size_t>(j)], out.scale[static_cast<std::size_t>(j)]);
  }
  Points points{users, d, {}};
  points.values.reserve(vectors.size());
  for (std::int64_t user = 0; user < users; ++user) {
    const auto own = vectors.subspan(static_cast<std::size_t>(user * d), static_cast<std::size_t>(d));
    const std::vector<double> scaled = scaled_vector(own, out.center, out.scale);
    points.values.insert(points.values.end(), scaled.begin(), scaled.end());
  }
  out.group_of_user = method == GroupingMethod::kWard ? ward(points, groups) : kmeans(points, groups, seed);
  const std::vector<std::int32_t> number = numbering(out.group_of_user, groups);
  for (std::int32_t& group : out.group_of_user) group = number[static_cast<std::size_t>(group)];
  const Points means = cluster_means(points, out.group_of_user, groups);
  out.means.assign(means.values.begin(), means.values.end());
  return out;
}

double cohens_d(std::span<const double> a, std::span<const double> b) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  if (a.empty() || b.empty() || a.size() + b.size() < 3) return none;
  const auto mean = [](std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  const auto squares = [](std::span<const double> values, double middle) {
    double sum = 0;
    for (const double value : values) sum += (value - middle) * (value - middle);
    return sum;
  };
  const double mean_a = mean(a), mean_b = mean(b);
  const double pooled = (squares(a, mean_a) + squares(b, mean_b)) / static_cast<double>(a.size() + b.size() - 2);
  return pooled > 0 ? (mean_a - mean_b) / std::sqrt(pooled) : none;
}

}  // namespace thinkrec
