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

/// Each point to its nearest center, the lower number among equals; then every empty cluster takes the point that lies farthest
/// from its center in a cluster of two or more; there is one, since there are no more clusters than points.
std::vector<std::int32_t> assign(const Points& points, const Points& centers) {
  std::vector<std::int32_t> cluster(static_cast<std::size_t>(points.count));
  std::vector<double> distance(cluster.size());
#pragma omp parallel for schedule(static) if (points.count * points.d * centers.count > kThreadedWork)
  for (std::int64_t i = 0; i < points.count; ++i) {
    double best = std::numeric_limits<double>::infinity();
    std::int64_t best_center = 0;
    for (std::int64_t c = 0; c < centers.count; ++c) {
      const double own = squared_distance(points[i], centers[c], points.d);
      if (own < best) {
        best = own;
        best_center = c;
      }
    }
    cluster[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(best_center);
    distance[static_cast<std::size_t>(i)] = best;
  }
  std::vector<std::int64_t> size(static_cast<std::size_t>(centers.count), 0);
  for (const std::int32_t c : cluster) ++size[static_cast<std::size_t>(c)];
  for (std::size_t empty = 0; empty < size.size(); ++empty) {
    if (size[empty] > 0) continue;
    std::size_t farthest = cluster.size();
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      if (size[static_cast<std::size_t>(cluster[i])] < 2) continue;
      if (farthest == cluster.size() || distance[i] > distance[farthest]) farthest = i;
    }
    --size[static_cast<std::size_t>(cluster[farthest])];
    cluster[farthest] = static_cast<std::int32_t>(empty);
    distance[farthest] = 0;
    size[empty] = 1;
  }
  return cluster;
}

}  // namespace

Points cluster_means(const Points& points, const std::vector<std::int32_t>& cluster, int clusters) {
  Points means{clusters, points.d, std::vector<double>(static_cast<std::size_t>(clusters * points.d), 0)};
  std::vector<std::int64_t> size(static_cast<std::size_t>(clusters), 0);
  for (std::int64_t i = 0; i < points.count; ++i) {
    const std::int64_t c = cluster[static_cast<std::size_t>(i)];
    ++size[static_cast<std::size_t>(c)];
    for (std::int64_t j = 0; j < points.d; ++j) means.values[static_cast<std::size_t>(c * points.d + j)] += points[i][j];
  }
  for (std::size_t i = 0; i < means.values.size(); ++i) {
    means.values[i] /= static_cast<double>(size[i / static_cast<std::size_t>(points.d)]);
  }
  return means;
}

double inertia(const Points& points, const std::vector<std::int32_t>& cluster, const Points& means) {
  double sum = 0;
  for (std::int64_t i = 0; i < points.count; ++i) {
    sum += squared_distance(points[i], means[cluster[static_cast<std::size_t>(i)]], points.d);
  }
  return sum;
}

std::vector<std::int32_t> kmeans(const Points& points, int clusters, std::uint64_t seed) {
  THINKREC_CHECK(clusters >= 1 && clusters <= points.count, "{} clusters of {} points", clusters, points.count);
  Engine engine(seed);
  std::vector<std::int32_t> best;
  double best_inertia = std::numeric_limits<double>::infinity();
  for (int restart = 0; restart < kRestarts; ++restart) {
    std::vector<std::int32_t> cluster = assign(points, initial_centers(points, clusters, engine));
    Points means = cluster_means(points, cluster, clusters);
    double own = inertia(points, cluster, means);
    // An iteration that does not lower the inertia is the end, also where duplicate points pass between clusters for ever.
    for (int iteration = 0; iteration < kMostIterations; ++iteration) {
      std::vector<std::int32_t> next = assign(points, means);
      Points next_means = cluster_means(points, next, clusters);
      const double next_inertia = inertia(points, next, next_means);
      if (!(next_inertia < own)) break;
      cluster = std::move(next);
      means = std::move(next_means);
      own = next_inertia;
    }
    if (!best.empty() && !(own < best_inertia)) continue;
    best = std::move(cluster);
    best_inertia = own;
  }
  return best;
}

}  // namespace thinkrec
