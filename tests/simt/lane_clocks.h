#pragma once
// The order of accesses inside a warp: vector clocks (Fidge and Mattern, 1988) that say which lanes have met at a __syncwarp.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "simt/simt.h"

namespace simt::detail {

inline unsigned bit(int lane) { return 1u << lane; }

/// Calls body(lane) for each lane of a mask, lowest first.
template <class Body>
void for_lanes(unsigned lanes, const Body& body) {
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) body(std::countr_zero(rest));
}

class LaneClocks {
 public:
  LaneClocks() { time_.fill(1); }

  /// Stamps what the lane does until it meets others again.
  std::uint32_t now(int lane) const { return time_[static_cast<std::size_t>(lane)]; }
  /// Whether what `other` did at that stamp comes before what `lane` does now.
  bool before(int other, std::uint32_t stamp, int lane) const {
    return known_[static_cast<std::size_t>(lane)][static_cast<std::size_t>(other)] >= stamp;
  }
  /// All that the lanes of the mask did comes before all that they do from now on.
  void meet(unsigned lanes) {
    std::array<std::uint32_t, kWarpSize> met{};
    for_lanes(lanes, [&](int at) {
      const auto lane = static_cast<std::size_t>(at);
      for (std::size_t i = 0; i < met.size(); ++i) met[i] = std::max(met[i], known_[lane][i]);
      met[lane] = std::max(met[lane], time_[lane]);
    });
    ++ticket_;
    for_lanes(lanes, [&](int at) {
      known_[static_cast<std::size_t>(at)] = met;
      time_[static_cast<std::size_t>(at)] = ticket_;
    });
  }

 private:
  std::uint32_t ticket_ = 1;
  std::array<std::uint32_t, kWarpSize> time_;
  std::array<std::array<std::uint32_t, kWarpSize>, kWarpSize> known_{};  // known_[a][b]: b's accesses up to it come before a's next
};

}  // namespace simt::detail
