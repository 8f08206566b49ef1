#pragma once
// Users grouped by their collaborative vectors (paper, section 3.3.1): one expert is trained for each group.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

enum class GroupingMethod { kKmeans, kWard };

/// Groups are numbered by descending size, then by their smallest user number, so that runs can be compared. None is empty.
struct Grouping {
  int groups = 0;
  std::vector<std::int32_t> group_of_user;
  std::vector<float> center, scale;  ///< [d]: clustering and gate see (x - center) / scale
  std::vector<float> means;  ///< [groups, d]: mean of the members' scaled vectors (e_n of Eq. 8, scaled as the clustering)
};

/// vectors [users, d]. Each dimension is z-scored (population deviation; a constant dimension only centred), then clustered:
///   kKmeans: 10 restarts of greedy k-means++ and Lloyd's iteration, the lowest inertia wins; empty clusters are seeded anew.
///   kWard: Ward linkage by nearest-neighbour chains, O(users^2 d) time and O(users d) memory; `seed` plays no part.
/// The same input gives the same groups for any number of threads.
/// Errors: kConfig for groups < 1 or groups > users; kDiverged naming the user whose vector is not finite; kInternal for a span
/// that is not users * d long.
Grouping group_users(std::span<const float> vectors, std::int64_t users, std::int64_t d, int groups, GroupingMethod method,
                     std::uint64_t seed);

/// (x - center) / scale in double: what group_users clusters and the gate compares. `vector` has as many elements as center.
std::vector<double> scaled_vector(std::span<const float> vector, std::span<const float> center, std::span<const float> scale);

/// Cohen's d: difference of the means in pooled (n - 1) standard deviations, for example of the users' train row counts in two
/// groups (paper, Fig. 4). NaN where it is not defined: an empty side, fewer than 3 values in all, or no spread.
double cohens_d(std::span<const double> a, std::span<const double> b);

}  // namespace thinkrec
