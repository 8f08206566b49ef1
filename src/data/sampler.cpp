#include "data/sampler.h"

#include <bit>
#include <cmath>

#include "core/error.h"

namespace thinkrec {
namespace {

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): the round function of the network.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

std::int64_t permuted(std::int64_t index, std::int64_t size, std::uint64_t seed, std::uint64_t stream, std::uint64_t epoch) {
  THINKREC_CHECK(index >= 0 && index < size, "{} of {}", index, size);
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(size - 1))));
  const int half = (bits + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  const std::uint64_t key = mix(mix(mix(seed) ^ stream) ^ epoch);
  auto value = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = value >> half, right = value & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t next = left ^ (mix(right ^ mix(key + round)) & mask);
      left = right;
      right = next;
    }
    value = (left << half) | right;
  } while (value >= static_cast<std::uint64_t>(size));
  return static_cast<std::int64_t>(value);
}

Sampler::Sampler(std::int64_t recommendations, std::int64_t reasons, double reason_share, std::int64_t batch, std::uint64_t seed)
    : recommendations_(recommendations), reasons_(reasons), batch_(batch), share_(reason_share), seed_(seed) {
  if (recommendations + reasons == 0) fail(ExitCode::kBadData, "there is no row to train on");
  if (reasons == 0) share_ = 0;
  if (recommendations == 0) share_ = 1;
}

std::vector<Draw> Sampler::step(std::int64_t step) const {
  std::vector<Draw> draws;
  for (std::int64_t place = 0; place < batch_; ++place) {
    const std::int64_t number = step * batch_ + place;
    const auto reasons_before = [&](std::int64_t n) {
      return static_cast<std::int64_t>(std::floor(static_cast<double>(n) * share_ + 1e-9));
    };
    const std::int64_t before = reasons_before(number);
    Draw draw;
    draw.number = static_cast<std::uint64_t>(number);
    draw.reason = reasons_before(number + 1) > before;
    const std::int64_t size = draw.reason ? reasons_ : recommendations_;
    const std::int64_t nth = draw.reason ? before : number - before;
    draw.index = permuted(nth % size, size, seed_, draw.reason ? 1 : 0, static_cast<std::uint64_t>(nth / size));
    draws.push_back(draw);
  }
  return draws;
}

}  // namespace thinkrec
