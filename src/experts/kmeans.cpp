#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"
#include "experts/clustering.h"

namespace thinkrec {
namespace {

constexpr int kRestarts = 10;
constexpr int kMostIterations = 300;
constexpr std::int64_t kThreadedWork = std::int64_t{1}
                                       << 20;  // differences; below, waiting for threads costs more than they save

using Engine = std::mt19937_64;  // its sequence is part of the C++ standard, unlike the library's distributions

/// Uniform in [0, 1).
double uniform(Engine& engine) { return static_cast<double>(engine() >> 11) * 0x1p-53; }

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

/// A point drawn in proportion to `weight`, whose sum is above 0.
std::int64_t draw(const std::vector<double>& weight, double sum, Engine& engine) {
  double left = uniform(engine) * sum;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    if (!(weight[i] > 0)) continue;
    last = static_cast<std::int64_t>(i);
    left -= weight[i];
    if (left < 0) break;
  }
  return last;
}

/// Greedy k-means++ (Arthur and Vassilvitskii 2007): each new center is the best of 2 + ln(clusters) points drawn in proportion
/// to their squared distance from the centers so far.
Points initial_centers(const Points& points, int clusters, Engine& engine) {
  Points centers{clusters, points.d, {}};
  std::vector<double> nearest(static_cast<std::size_t>(points.count), std::numeric_limits<double>::infinity());
  const auto with = [&](std::int64_t candidate) {
    std::vector<double> out = nearest;
#pragma omp parallel for schedule(static) if (points.count * points.d > kThreadedWork)
    for (std::int64_t i = 0; i < points.count; ++i) {
      double& own = out[static_cast<std::size_t>(i)];
      own = std::min(own, squared_distance(points[i], points[candidate], points.d));
    }
    return out;
  };
  const auto take = [&](std::int64_t point) {
    centers.values.insert(centers.values.end(), points[point], points[point] + points.d);
  };
  const auto first = std::min(points.count - 1, static_cast<std::int64_t>(uniform(engine) * static_cast<double>(points.count)));
  take(first);
  nearest = with(first);
  const int trials = 2 + static_cast<int>(std::log(clusters));
  for (int c = 1; c < clusters; ++c) {
    const double potential = sum_of(nearest);
    std::int64_t best = 0;  // fewer distinct points than clusters: any will do, Lloyd's iteration seeds its cluster anew
    std::vector<double> best_nearest = nearest;
    double best_potential = std::numeric_limits<double>::infinity();
    for (int trial = 0; trial < trials && potential > 0; ++trial) {
      const std::int64_t candidate = draw(nearest, potential, engine);
      std::vector<double> candidate_nearest = with(candidate);
      const double candidate_potential = sum_of(candidate_nearest);
      if (candidate_potential >= best_potential) continue;
      best = candidate;
      best_nearest = std::move(candidate_nearest);
      best_potential = candidate_potential;
    }
    take(best);
    nearest = std::move(best_nearest);
  }
  return centers;
}

/// Lloyd's iteration. Most points need no look at all centers: by the triangle inequality, how far the other centers can have moved
/// tells that the own one is the nearest still (Hamerly 2010). The bounds are wide enough for rounding, so the answer is that of
/// comparing all distances. One pass over the points gives the inertia of the clusters as they are and the clusters that come next.
class Lloyd {
 public:
  Lloyd(const Points& points, Points centers)
      : points_(points),
        centers_(std::move(centers)),
        cluster_(static_cast<std::size_t>(points.count), 0),
        distance_(cluster_.size()),
        other_(cluster_.size(), 0) {
    next_ = cluster_;
    pass();
    cluster_ = next_;
    centers_ = cluster_means(points_, cluster_, static_cast<int>(centers_.count));
    count();
    forget();
  }

  const std::vector<std::int32_t>& cluster() const { return cluster_; }

  /// Inertia of the clusters around their means; finds where each point goes next.
  double pass() {
#pragma omp parallel for schedule(static) if (points_.count * points_.d > kThreadedWork)
    for (std::int64_t i = 0; i < points_.count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int32_t own = cluster_[at];
      distance_[at] = squared_distance(points_[i], centers_[own], points_.d);
      if (kWider * std::sqrt(distance_[at]) < other_[at]) {
        next_[at] = own;
      } else {
        look(i);
      }
    }
    const double sum = sum_of(distance_);
    fill_empty();
    return sum;
  }

  /// Whether a point changes its cluster; then the clusters become those, the centers their means.
  bool step() {
    if (next_ == cluster_) return false;
    const Points before = centers_;
    move_points();
    double most = 0;
    for (std::int64_t c = 0; c < centers_.count; ++c)
      most = std::max(most, kWider * std::sqrt(squared_distance(before[c], centers_[c], centers_.d)));
    for (double& other : other_) other -= most;
    return true;
  }

 private:
  static constexpr double kWider = 1 + 1e-9;  // sums of 300 moves are rounded by less

  /// Each point to its nearest center, the lower number among equals.
  void look(std::int64_t i) {
    double best = std::numeric_limits<double>::infinity(), second = best;
    std::int64_t best_center = 0;
    for (std::int64_t c = 0; c < centers_.count; ++c) {
      const double distance = squared_distance(points_[i], centers_[c], points_.d);
      if (distance < best) {
        second = best;
        best = distance;
        best_center = c;
      } else {
        second = std::min(second, distance);
      }
    }
    next_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(best_center);
    other_[static_cast<std::size_t>(i)] = std::sqrt(second) / kWider;
  }

  /// Every empty cluster takes the point that lies farthest from its center in a cluster of two or more; there is one, since there
  /// are no more clusters than points.
  void fill_empty() {
    std::vector<std::int64_t> size(static_cast<std::size_t>(centers_.count), 0);
    for (const std::int32_t c : next_) ++size[static_cast<std::size_t>(c)];
    if (std::find(size.begin(), size.end(), 0) == size.end()) return;
    std::vector<double> distance(next_.size());
    for (std::size_t i = 0; i < next_.size(); ++i)
      distance[i] = squared_distance(points_[static_cast<std::int64_t>(i)], centers_[next_[i]], points_.d);
    for (std::size_t empty = 0; empty < size.size(); ++empty) {
      if (size[empty] > 0) continue;
      std::size_t farthest = next_.size();
      for (std::size_t i = 0; i < next_.size(); ++i) {
        if (size[static_cast<std::size_t>(next_[i])] < 2) continue;
        if (farthest == next_.size() || distance[i] > distance[farthest]) farthest = i;
      }
      --size[static_cast<std::size_t>(next_[farthest])];
      next_[farthest] = static_cast<std::int32_t>(empty);
      distance[farthest] = 0;
      size[empty] = 1;
    }
    forget();  // some are not in the cluster of their nearest center
  }

  void forget() { std::fill(other_.begin(), other_.end(), 0.0); }

  void count() {
    size_.assign(static_cast<std::size_t>(centers_.count), 0);
    for (const std::int32_t c : cluster_) ++size_[static_cast<std::size_t>(c)];
    sums_ = centers_.values;
    for (std::size_t i = 0; i < sums_.size(); ++i)
      sums_[i] *= static_cast<double>(size_[i / static_cast<std::size_t>(points_.d)]);
  }

  /// Sums and sizes follow the points that move, which late in the iteration are few; now and then they are made anew, so that
  /// rounding does not build up.
  void move_points() {
    constexpr int kAnew = 16;
    if (++moves_ % kAnew == 0) {
      cluster_ = next_;
      centers_ = cluster_means(points_, cluster_, static_cast<int>(centers_.count));
      count();
      return;
    }
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (cluster_[i] == next_[i]) continue;
      const double* const point = points_[static_cast<std::int64_t>(i)];
      double* const from = sums_.data() + cluster_[i] * points_.d;
      double* const to = sums_.data() + next_[i] * points_.d;
      for (std::int64_t j = 0; j < points_.d; ++j) {
        from[j] -= point[j];
        to[j] += point[j];
      }
      --size_[static_cast<std::size_t>(cluster_[i])];
      ++size_[static_cast<std::size_t>(next_[i])];
    }
    cluster_ = next_;
    for (std::size_t i = 0; i < sums_.size(); ++i)
      centers_.values[i] = sums_[i] / static_cast<double>(size_[i / static_cast<std::size_t>(points_.d)]);
  }

  const Points& points_;
  Points centers_;
  std::vector<std::int32_t> cluster_, next_;
  std::vector<double> distance_;  // squared, to the own center
  std::vector<double> other_;     // every center but the own is at least so far
  std::vector<double> sums_;      // of the points of each cluster
  std::vector<std::int64_t> size_;
  int moves_ = 0;
};

}  // namespace

Points cluster_means(const Points& points, const std::vector<std::int32_t>& cluster, int clusters) {
  Points means{clusters, points.d, std::vector<double>(static_cast<std::size_t>(clusters * points.d), 0)};
  std::vector<std::int64_t> size(static_cast<std::size_t>(clusters), 0);
  for (const std::int32_t c : cluster) ++size[static_cast<std::size_t>(c)];
  // Threads share out the dimensions, so that every sum runs over the points in their order.
  constexpr std::int64_t kTogether = 8;
  const std::int64_t parts = (points.d + kTogether - 1) / kTogether;
#pragma omp parallel for schedule(static) if (points.count * points.d > kThreadedWork)
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first = part * kTogether, last = std::min(points.d, first + kTogether);
    for (std::int64_t i = 0; i < points.count; ++i) {
      double* const sum = means.values.data() + cluster[static_cast<std::size_t>(i)] * points.d;
      for (std::int64_t j = first; j < last; ++j) sum[j] += points[i][j];
    }
  }
  for (std::size_t i = 0; i < means.values.size(); ++i) {
    means.values[i] /= static_cast<double>(size[i / static_cast<std::size_t>(points.d)]);
  }
  return means;
}

double inertia(const Points& points, const std::vector<std::int32_t>& cluster, const Points& means) {
  std::vector<double> distance(cluster.size());
#pragma omp parallel for schedule(static) if (points.count * points.d > kThreadedWork)
  for (std::int64_t i = 0; i < points.count; ++i)
    distance[static_cast<std::size_t>(i)] = squared_distance(points[i], means[cluster[static_cast<std::size_t>(i)]], points.d);
  return sum_of(distance);
}

std::vector<std::int32_t> kmeans(const Points& points, int clusters, std::uint64_t seed) {
  THINKREC_CHECK(clusters >= 1 && clusters <= points.count, "{} clusters of {} points", clusters, points.count);
  Engine engine(seed);
  std::vector<std::int32_t> best;
  double best_inertia = std::numeric_limits<double>::infinity();
  for (int restart = 0; restart < kRestarts; ++restart) {
    Lloyd lloyd(points, initial_centers(points, clusters, engine));
    std::vector<std::int32_t> cluster = lloyd.cluster();
    double own = lloyd.pass();
    // An iteration that does not lower the inertia is the end, also where duplicate points pass between clusters for ever.
    for (int iteration = 0; iteration < kMostIterations && lloyd.step(); ++iteration) {
      const double next = lloyd.pass();
      if (!(next < own)) break;
      cluster = lloyd.cluster();
      own = next;
    }
    if (!best.empty() && !(own < best_inertia)) continue;
    best = std::move(cluster);
    best_inertia = own;
  }
  return best;
}

}  // namespace thinkrec
