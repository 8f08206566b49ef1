#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "experts/clustering.h"

namespace thinkrec {
namespace {

/// Two clusters joined, each named by one of its points.
struct Merge {
  double cost;
  std::int64_t a, b;
};

/// A cluster and what merging with it costs; the lower number among equals.
struct Neighbour {
  double cost = std::numeric_limits<double>::infinity();
  std::int64_t cluster = -1;

  bool better_than(const Neighbour& other) const { return cost != other.cost ? cost < other.cost : cluster < other.cluster; }
};

/// Ward's clusters as centroids and sizes: all that the cost of a merge needs, so no matrix of distances is kept.
class WardClusters {
 public:
  explicit WardClusters(const Points& points)
      : centroid_(points), size_(static_cast<std::size_t>(points.count), 1), living_(static_cast<std::size_t>(points.count)) {
    std::iota(living_.begin(), living_.end(), std::int64_t{0});
  }

  const std::vector<std::int64_t>& living() const { return living_; }
  bool alive(std::int64_t cluster) const { return size_[static_cast<std::size_t>(cluster)] > 0; }

  /// Growth of the sum of squares by the merge.
  double cost(std::int64_t a, std::int64_t b) const {
    const auto size_a = static_cast<double>(size_[static_cast<std::size_t>(a)]),
               size_b = static_cast<double>(size_[static_cast<std::size_t>(b)]);
    return size_a * size_b / (size_a + size_b) * squared_distance(centroid_[a], centroid_[b], centroid_.d);
  }

  Neighbour nearest(std::int64_t cluster) const {
    Neighbour best;
    const auto count = static_cast<std::int64_t>(living_.size());
    // A search of less than about a millisecond is not worth waiting for threads, least of all on a busy machine.
    const bool many = count * centroid_.d > std::int64_t{1} << 21;
#pragma omp parallel if (many)
    {
      Neighbour own;
#pragma omp for schedule(static) nowait
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t other = living_[static_cast<std::size_t>(i)];
        if (other == cluster) continue;
        const Neighbour candidate{cost(cluster, other), other};
        if (candidate.better_than(own)) own = candidate;
      }
#pragma omp critical(thinkrec_ward_nearest)
      if (own.cluster >= 0 && (best.cluster < 0 || own.better_than(best))) best = own;
    }
    return best;
  }

  /// The merged cluster takes the number of `a`.
  void merge(std::int64_t a, std::int64_t b) {
    const auto size_a = static_cast<double>(size_[static_cast<std::size_t>(a)]),
               size_b = static_cast<double>(size_[static_cast<std::size_t>(b)]);
    double* const into = centroid_.values.data() + a * centroid_.d;
    for (std::int64_t j = 0; j < centroid_.d; ++j) into[j] = (size_a * into[j] + size_b * centroid_[b][j]) / (size_a + size_b);
    size_[static_cast<std::size_t>(a)] += size_[static_cast<std::size_t>(b)];
    size_[static_cast<std::size_t>(b)] = 0;
    living_.erase(std::lower_bound(living_.begin(), living_.end(), b));
  }

 private:
  Points centroid_;
  std::vector<std::int64_t> size_;    // 0: merged into another
  std::vector<std::int64_t> living_;  // ascending
};

/// All merges, in the order in which nearest-neighbour chains find them (Murtagh 1983): along a chain of nearest neighbours the
/// cost falls strictly, so it ends at two clusters that are each other's nearest, and Ward's cost lets those be merged at once.
std::vector<Merge> merges_by_chain(const Points& points) {
  WardClusters clusters(points);
  std::vector<Merge> merges;
  std::vector<std::int64_t> chain;
  while (clusters.living().size() > 1) {
    if (chain.empty()) chain.push_back(clusters.living().front());
    const std::int64_t top = chain.back();
    Neighbour next = clusters.nearest(top);
    if (chain.size() > 1) {
      const std::int64_t before = chain[chain.size() - 2];
      const double back = clusters.cost(top, before);
      if (!(next.cost < back)) next = {back, before};  // among equals the chain must turn back, or it may run in a circle
      if (next.cluster == before) {
        const auto [a, b] = std::minmax(top, before);
        merges.push_back({next.cost, a, b});
        clusters.merge(a, b);
        chain.resize(chain.size() - 2);
        // Only rounding can have put one of the two further down as well.
        chain.erase(std::find_if(chain.begin(), chain.end(), [&](std::int64_t c) { return c == a || !clusters.alive(c); }),
                    chain.end());
        continue;
      }
    }
    chain.push_back(next.cluster);
  }
  return merges;
}

}  // namespace

std::vector<std::int32_t> ward(const Points& points, int clusters) {
  THINKREC_CHECK(clusters >= 1 && clusters <= points.count, "{} clusters of {} points", clusters, points.count);
  std::vector<Merge> merges = merges_by_chain(points);
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.cost < b.cost; });

  std::vector<std::int64_t> parent(static_cast<std::size_t>(points.count));
  std::iota(parent.begin(), parent.end(), std::int64_t{0});
  const auto root = [&](std::int64_t point) {
    while (parent[static_cast<std::size_t>(point)] != point) {
      auto& up = parent[static_cast<std::size_t>(point)];
      point = up = parent[static_cast<std::size_t>(up)];
    }
    return point;
  };
  for (std::int64_t m = 0; m < points.count - clusters; ++m) {
    const Merge& merge = merges[static_cast<std::size_t>(m)];
    parent[static_cast<std::size_t>(root(merge.b))] = root(merge.a);
  }

  std::vector<std::int32_t> out(parent.size());
  std::vector<std::int32_t> number(parent.size(), -1);
  std::int32_t next = 0;
  for (std::int64_t point = 0; point < points.count; ++point) {
    std::int32_t& own = number[static_cast<std::size_t>(root(point))];
    if (own < 0) own = next++;
    out[static_cast<std::size_t>(point)] = own;
  }
  return out;
}

}  // namespace thinkrec
