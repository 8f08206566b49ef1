#include "data/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

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

Sampler::Sampler(std::span<const std::int32_t> user, std::int64_t together, std::int64_t reasons, double reason_share,
                 std::int64_t batch, std::uint64_t seed)
    : Sampler(static_cast<std::int64_t>(user.size()), reasons, reason_share, batch, seed) {
  THINKREC_CHECK(together >= 1, "{} rows together", together);
  if (together == 1) return;
  order_.resize(user.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto user_of = [&](std::size_t place) { return user[static_cast<std::size_t>(order_[place])]; };
  std::stable_sort(order_.begin(), order_.end(), [&](std::int64_t a, std::int64_t b) {
    return user[static_cast<std::size_t>(a)] < user[static_cast<std::size_t>(b)];
  });
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (i == 0 || user_of(i) != user_of(i - 1) || blocks_.back().count == together)
      blocks_.push_back({static_cast<std::int64_t>(i), 0});
    ++blocks_.back().count;
  }
}

std::int64_t Sampler::recommendation(std::int64_t nth) const {
  const std::int64_t epoch = nth / recommendations_, place = nth % recommendations_;
  if (order_.empty()) return permuted(place, recommendations_, seed_, 0, static_cast<std::uint64_t>(epoch));
  if (epoch != epoch_) {
    drawn_.clear();
    before_.clear();
    std::int64_t rows = 0;
    const auto count = static_cast<std::int64_t>(blocks_.size());
    for (std::int64_t i = 0; i < count; ++i) {
      drawn_.push_back(permuted(i, count, seed_, 0, static_cast<std::uint64_t>(epoch)));
      before_.push_back(rows);
      rows += blocks_[static_cast<std::size_t>(drawn_.back())].count;
    }
    epoch_ = epoch;
  }
  const auto at = static_cast<std::size_t>(std::upper_bound(before_.begin(), before_.end(), place) - before_.begin()) - 1;
  const Block& block = blocks_[static_cast<std::size_t>(drawn_[at])];
  return order_[static_cast<std::size_t>(block.first + place - before_[at])];
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
    draw.index = draw.reason ? permuted(before % reasons_, reasons_, seed_, 1, static_cast<std::uint64_t>(before / reasons_))
                             : recommendation(number - before);
    draws.push_back(draw);
  }
  return draws;
}

}  // namespace thinkrec
