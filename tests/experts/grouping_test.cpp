#include "experts/grouping.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "experts/clustering.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

using Vector = std::vector<float>;
using Labels = std::vector<std::int32_t>;
constexpr GroupingMethod kMethods[] = {GroupingMethod::kKmeans, GroupingMethod::kWard};

Vector random_vectors(std::int64_t users, std::int64_t d, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal;
  Vector out(static_cast<std::size_t>(users * d));
  for (float& value : out) value = normal(engine);
  return out;
}

/// The same partition under names of its own: by first member.
Labels canonical(const Labels& labels) {
  std::map<std::int32_t, std::int32_t> names;
  Labels out;
  for (const std::int32_t label : labels)
    out.push_back(names.emplace(label, static_cast<std::int32_t>(names.size())).first->second);
  return out;
}

Points scaled_points(const Grouping& grouping, const Vector& vectors, std::int64_t users, std::int64_t d) {
  Points points{users, d, {}};
  for (std::int64_t user = 0; user < users; ++user) {
    const auto own = std::span(vectors).subspan(static_cast<std::size_t>(user * d), static_cast<std::size_t>(d));
    const auto scaled = scaled_vector(own, grouping.center, grouping.scale);
    points.values.insert(points.values.end(), scaled.begin(), scaled.end());
  }
  return points;
}

double inertia_of(const Grouping& grouping, const Vector& vectors, std::int64_t users, std::int64_t d) {
  const Points points = scaled_points(grouping, vectors, users, d);
  return inertia(points, grouping.group_of_user, cluster_means(points, grouping.group_of_user, grouping.groups));
}

/// What every grouping promises, whatever the data.
void expect_sound(const Grouping& grouping, const Vector& vectors, std::int64_t users, std::int64_t d) {
  ASSERT_EQ(grouping.group_of_user.size(), static_cast<std::size_t>(users));
  ASSERT_EQ(grouping.means.size(), static_cast<std::size_t>(grouping.groups * d));
  std::vector<std::int64_t> size(static_cast<std::size_t>(grouping.groups), 0), first(size.size(), users);
  for (std::int64_t user = users; user-- > 0;) {
    const auto group = static_cast<std::size_t>(grouping.group_of_user[static_cast<std::size_t>(user)]);
    ASSERT_LT(group, size.size());
    ++size[group];
    first[group] = user;
  }
  for (std::size_t group = 0; group < size.size(); ++group) {
    EXPECT_GT(size[group], 0);
    if (group == 0) continue;
    EXPECT_TRUE(size[group - 1] > size[group] || (size[group - 1] == size[group] && first[group - 1] < first[group]));
  }
  const Points points = scaled_points(grouping, vectors, users, d);
  for (std::size_t group = 0; group < size.size(); ++group) {
    for (std::int64_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::int64_t user = 0; user < users; ++user) {
        if (grouping.group_of_user[static_cast<std::size_t>(user)] == static_cast<std::int32_t>(group)) sum += points[user][j];
      }
      EXPECT_NEAR(grouping.means[group * static_cast<std::size_t>(d) + static_cast<std::size_t>(j)],
                  sum / static_cast<double>(size[group]), 1e-5);
    }
  }
}

TEST(GroupUsers, AgreesWithScikitLearn) {
  std::ifstream file(THINKREC_SOURCE_DIR "/tests/experts/fixtures/grouping.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 4u);
  int clear = 0;
  for (const auto& one : cases) {
    const auto users = one["users"].get<std::int64_t>(), d = one["d"].get<std::int64_t>();
    const auto vectors = one["vectors"].get<Vector>();
    for (const auto& wanted : one["clusterings"]) {
      const int groups = wanted["groups"].get<int>();
      SCOPED_TRACE(fmt::format("{}, {} groups", one["name"].get<std::string>(), groups));
      const Grouping ward = group_users(vectors, users, d, groups, GroupingMethod::kWard, 0);
      expect_sound(ward, vectors, users, d);
      EXPECT_EQ(canonical(ward.group_of_user), canonical(wanted["ward"].get<Labels>()));
      for (std::int64_t j = 0; j < d; ++j) {
        const auto i = static_cast<std::size_t>(j);
        EXPECT_NEAR(ward.center[i], one["center"][i].get<double>(), 1e-6 * (1 + std::abs(one["center"][i].get<double>())));
        EXPECT_NEAR(ward.scale[i], one["scale"][i].get<double>(), 1e-6 * one["scale"][i].get<double>());
      }
      // The mean over seeds within 1 %; and every seed, where scikit-learn's own runs agree that well, so that there is one
      // optimum.
      const double best = wanted["inertia"]["best"].get<double>(), worst = wanted["inertia"]["worst"].get<double>();
      constexpr int kSeeds = 30;
      double mean = 0;
      for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const Grouping kmeans = group_users(vectors, users, d, groups, GroupingMethod::kKmeans, seed);
        expect_sound(kmeans, vectors, users, d);
        const double own = inertia_of(kmeans, vectors, users, d);
        if (worst <= 1.01 * best) {
          EXPECT_LE(own, 1.01 * best + 1e-6) << "seed " << seed;
          ++clear;
        }
        mean += own / kSeeds;
      }
      EXPECT_LE(mean, 1.01 * wanted["inertia"]["mean"].get<double>() + 1e-6);
    }
  }
  EXPECT_GE(clear, 8 * 30);  // most clusterings are of the strict kind
}

/// Ward by its definition: merge whatever grows the sum of squares least, until enough clusters are left.
Labels ward_by_definition(const Points& points, int clusters) {
  Labels cluster(static_cast<std::size_t>(points.count));
  for (std::size_t i = 0; i < cluster.size(); ++i) cluster[i] = static_cast<std::int32_t>(i);
  const auto spread = [&](std::int32_t a, std::int32_t b) {  // sum of squares of the union of a and b
    std::vector<std::int64_t> members;
    for (std::int64_t i = 0; i < points.count; ++i) {
      if (cluster[static_cast<std::size_t>(i)] == a || cluster[static_cast<std::size_t>(i)] == b) members.push_back(i);
    }
    double sum = 0;
    for (std::int64_t j = 0; j < points.d; ++j) {
      double mean = 0;
      for (const std::int64_t i : members) mean += points[i][j] / static_cast<double>(members.size());
      for (const std::int64_t i : members) sum += (points[i][j] - mean) * (points[i][j] - mean);
    }
    return sum;
  };
  for (std::int64_t left = points.count; left > clusters; --left) {
    const std::set<std::int32_t> names(cluster.begin(), cluster.end());
    double best = std::numeric_limits<double>::infinity();
    std::pair<std::int32_t, std::int32_t> pair;
    for (const std::int32_t a : names) {
      for (const std::int32_t b : names) {
        if (a >= b) continue;
        const double cost = spread(a, b) - spread(a, a) - spread(b, b);
        if (cost < best) {
          best = cost;
          pair = {a, b};
        }
      }
    }
    std::replace(cluster.begin(), cluster.end(), pair.second, pair.first);
  }
  return cluster;
}

TEST(Ward, IsTheGreedyMerge) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const std::int64_t users = 5 + static_cast<std::int64_t>(seed) * 2, d = 1 + static_cast<std::int64_t>(seed % 3);
    const Vector vectors = random_vectors(users, d, seed);
    const Points points{users, d, {vectors.begin(), vectors.end()}};
    for (int clusters = 1; clusters <= 5; ++clusters) {
      EXPECT_EQ(canonical(ward(points, clusters)), canonical(ward_by_definition(points, clusters))) << seed << " " << clusters;
    }
  }
}

TEST(Kmeans, FindsTheOptimumOfSmallCases) {
  // All partitions of 9 points in two.
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Vector vectors = random_vectors(9, 2, 100 + seed);
    const Points points{9, 2, {vectors.begin(), vectors.end()}};
    double best = std::numeric_limits<double>::infinity();
    for (unsigned mask = 1; mask < 256; ++mask) {
      Labels cluster(9, 0);
      for (unsigned i = 0; i < 8; ++i) cluster[i] = (mask >> i) & 1;
      best = std::min(best, inertia(points, cluster, cluster_means(points, cluster, 2)));
    }
    const Labels found = kmeans(points, 2, seed);
    EXPECT_NEAR(inertia(points, found, cluster_means(points, found, 2)), best, 1e-12 + 0.01 * best) << seed;
  }
}

TEST(Kmeans, EndsWithEveryPointInTheClusterOfItsNearestMean) {
  for (const auto& [count, d, clusters] :
       {std::tuple<std::int64_t, std::int64_t, int>{3000, 2, 7}, {2000, 9, 16}, {500, 40, 3}}) {
    const Vector values = random_vectors(count, d, 23);
    const Points points{count, d, {values.begin(), values.end()}};
    const Labels found = kmeans(points, clusters, 4);
    const Points means = cluster_means(points, found, clusters);
    for (std::int64_t i = 0; i < count; ++i) {
      const double own = squared_distance(points[i], means[found[static_cast<std::size_t>(i)]], d);
      for (int c = 0; c < clusters; ++c)
        ASSERT_LE(own, squared_distance(points[i], means[c], d) * (1 + 1e-12)) << i << " of " << count;
    }
  }
}

TEST(GroupUsers, OddShapes) {
  struct Shape {
    std::int64_t users, d;
    int groups;
  };
  for (const auto [users, d, groups] : {Shape{1, 1, 1}, {2, 1, 2}, {2, 5, 1}, {3, 2, 3}, {17, 3, 17}, {31, 1, 4}, {50, 33, 7}}) {
    const Vector vectors = random_vectors(users, d, static_cast<std::uint64_t>(users * 100 + d));
    for (const GroupingMethod method : kMethods)
      expect_sound(group_users(vectors, users, d, groups, method, 3), vectors, users, d);
  }
}

TEST(GroupUsers, DuplicatesFillEveryGroup) {
  // 2 distinct points, 4 groups: clusters that nothing falls to are seeded anew, and it ends.
  Vector vectors;
  for (int user = 0; user < 12; ++user) vectors.insert(vectors.end(), {user % 3 == 0 ? 1.0f : -1.0f, 0.5f});
  for (const GroupingMethod method : kMethods) {
    expect_sound(group_users(vectors, 12, 2, 4, method, 5), vectors, 12, 2);
    const Grouping two = group_users(vectors, 12, 2, 2, method, 5);
    EXPECT_NEAR(inertia_of(two, vectors, 12, 2), 0, 1e-9);
    expect_sound(group_users(Vector(12, 3.25f), 12, 1, 5, method, 5), Vector(12, 3.25f), 12, 1);
  }
}

TEST(GroupUsers, ScalesDimensions) {
  // Without z-scores the second dimension would decide alone.
  Vector vectors;
  std::mt19937_64 engine(9);
  std::normal_distribution<float> normal;
  for (int user = 0; user < 40; ++user) {
    vectors.insert(vectors.end(), {user % 2 == 0 ? 1e-3f : -1e-3f, 1e4f * normal(engine), 1e30f});
    vectors.insert(vectors.end(), {user % 2 == 0 ? 1e-3f : -1e-3f});
  }
  for (const GroupingMethod method : kMethods) {
    const Grouping grouping = group_users(vectors, 40, 4, 2, method, 5);
    EXPECT_EQ(grouping.scale[2], 1);
    EXPECT_EQ(grouping.center[2], 1e30f);
    EXPECT_NEAR(grouping.scale[0], 1e-3, 1e-9);
    for (std::size_t user = 0; user < 40; ++user) EXPECT_EQ(grouping.group_of_user[user], static_cast<std::int32_t>(user % 2));
  }
  // Deviations that a float cannot hold.
  const float tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max();
  expect_sound(group_users(Vector{0, huge, tiny, -huge, 0, 0}, 3, 2, 2, GroupingMethod::kWard, 1), {0, huge, tiny, -huge, 0, 0},
               3, 2);
}

TEST(GroupUsers, TheSameForAnyNumberOfThreads) {
  const std::int64_t d = 32000;
  const int before = omp_get_max_threads();
  for (const GroupingMethod method : kMethods) {
    const std::int64_t users = method == GroupingMethod::kWard ? 68 : 34;  // just above the size where threads are started
    const Vector vectors = random_vectors(users, d, 77);
    omp_set_num_threads(1);
    const Grouping one = group_users(vectors, users, d, 3, method, 11);
    omp_set_num_threads(3);
    const Grouping three = group_users(vectors, users, d, 3, method, 11);
    EXPECT_EQ(one.group_of_user, three.group_of_user);
    EXPECT_EQ(one.means, three.means);
  }
  omp_set_num_threads(before);
}

TEST(GroupUsers, Refuses) {
  const Vector vectors = random_vectors(4, 2, 1);
  for (const GroupingMethod method : kMethods) {
    testing::expect_error(ExitCode::kConfig, "only 4 users", [&] { group_users(vectors, 4, 2, 5, method, 1); });
    testing::expect_error(ExitCode::kConfig, "only 0 users", [&] { group_users({}, 0, 2, 1, method, 1); });
    testing::expect_error(ExitCode::kConfig, "at least one group", [&] { group_users(vectors, 4, 2, 0, method, 1); });
    testing::expect_error(ExitCode::kInternal, "8 values for 3 users of width 2",
                          [&] { group_users(vectors, 3, 2, 1, method, 1); });
    testing::expect_error(ExitCode::kInternal, "8 values for 2 users of width 3",
                          [&] { group_users(vectors, 2, 3, 1, method, 1); });
    testing::expect_error(ExitCode::kInternal, "of width 0", [&] { group_users(vectors, 4, 0, 1, method, 1); });
    testing::expect_error(ExitCode::kInternal, "-4 users", [&] { group_users(vectors, -4, 2, 1, method, 1); });
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      Vector broken = vectors;
      broken[5] = bad;
      testing::expect_error(ExitCode::kDiverged, "user 2 is not finite", [&] { group_users(broken, 4, 2, 2, method, 1); });
    }
  }
  const Points points{2, 1, {1, 2}};
  testing::expect_error(ExitCode::kInternal, "3 clusters", [&] { kmeans(points, 3, 1); });
  testing::expect_error(ExitCode::kInternal, "0 clusters", [&] { ward(points, 0); });
  testing::expect_error(ExitCode::kInternal, "center 2", [&] { scaled_vector(Vector{1}, Vector{1, 2}, Vector{1, 2}); });
}

TEST(CohensD, ByHand) {
  const std::vector<double> a = {1, 2, 3, 4}, b = {3, 5};
  // Means 2.5 and 4; squares 5 and 2; pooled variance 7 / 4.
  EXPECT_NEAR(cohens_d(a, b), -1.5 / std::sqrt(1.75), 1e-15);
  EXPECT_NEAR(cohens_d(b, a), 1.5 / std::sqrt(1.75), 1e-15);
  EXPECT_EQ(cohens_d(a, a), 0);
  const std::vector<double> one = {1}, other = {2}, none, flat = {3, 3, 3};
  EXPECT_TRUE(std::isnan(cohens_d(one, other)));
  EXPECT_TRUE(std::isnan(cohens_d(none, a)));
  EXPECT_TRUE(std::isnan(cohens_d(a, none)));
  EXPECT_TRUE(std::isnan(cohens_d(flat, flat)));
}

}  // namespace
}  // namespace thinkrec
