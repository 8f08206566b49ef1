#include "encoders/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace thinkrec {
namespace {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// In (0, 1].
double uniform(std::uint64_t key, std::uint64_t counter) {
  return static_cast<double>((mix(key ^ mix(counter)) >> 11) + 1) * 0x1p-53;
}

}  // namespace

std::uint64_t random_key(std::initializer_list<std::uint64_t> parts) {
  std::uint64_t key = parts.size();
  for (std::uint64_t part : parts) key = mix(key ^ mix(part));
  return key;
}

void fill_normal(std::span<float> values, std::uint64_t key, double deviation) {
  for (std::size_t i = 0; i < values.size(); ++i) {  // Box-Muller
    const double radius = std::sqrt(-2 * std::log(uniform(key, 2 * i)));
    values[i] = static_cast<float>(deviation * radius * std::cos(2 * std::numbers::pi * uniform(key, 2 * i + 1)));
  }
}

void fill_dropout(std::span<float> values, std::uint64_t key, double rate) {
  THINKREC_CHECK(rate >= 0 && rate < 1, "dropout {}", rate);
  const auto first = static_cast<std::uint32_t>(key), second = static_cast<std::uint32_t>(key >> 32);
  const auto threshold = static_cast<std::uint32_t>(std::lround(rate * 0x1p24));
  const float keep = static_cast<float>(1 / (1 - rate));
  const auto size = static_cast<std::uint32_t>(values.size());
  // 32-bit integer hashing only (two keyed rounds of lowbias32's steps): the compiler turns the loop into vector code.
  for (std::uint32_t i = 0; i < size; ++i) {
    std::uint32_t h = i ^ first;
    h = (h ^ (h >> 16)) * 0x7FEB352Du;
    h = (h ^ (h >> 15)) * 0x846CA68Bu;
    h = (h ^ (h >> 16)) + second;
    h = (h ^ (h >> 16)) * 0x7FEB352Du;
    h = (h ^ (h >> 15)) * 0x846CA68Bu;
    values[i] = (h >> 8) < threshold ? 0.0f : keep;
  }
}

std::vector<std::int64_t> random_permutation(std::int64_t size, std::uint64_t key) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) {
    // The bias of a 64-bit remainder is below size / 2^64.
    std::swap(order[i - 1], order[mix(key ^ mix(i)) % i]);
  }
  return order;
}

}  // namespace thinkrec
