#pragma once
// The two clusterings behind group_users, on points that are scaled already. Internal to experts.

#include <cstdint>
#include <vector>

namespace thinkrec {

/// `count` points of width d, row-major.
struct Points {
  std::int64_t count, d;
  std::vector<double> values;

  const double* operator[](std::int64_t point) const { return values.data() + point * d; }
};

/// The same bits whichever way round, and for any number of threads.
inline double squared_distance(const double* a, const double* b, std::int64_t d) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < d; ++j) {
    const double difference = a[j] - b[j];
    sum += difference * difference;
  }
  return sum;
}

// Cluster of each point, 0 .. clusters - 1 in no special order, none empty; 1 <= clusters <= points.count.
std::vector<std::int32_t> kmeans(const Points& points, int clusters, std::uint64_t seed);
std::vector<std::int32_t> ward(const Points& points, int clusters);

/// Means of the members, [clusters, d]. Every cluster has a member.
Points cluster_means(const Points& points, const std::vector<std::int32_t>& cluster, int clusters);

/// Sum of squared distances to the mean of the own cluster.
double inertia(const Points& points, const std::vector<std::int32_t>& cluster, const Points& means);

}  // namespace thinkrec
