#pragma once
// For the tests of the emulator: every launch in several orders of blocks and lanes, and what a fault says.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"

namespace simt_testing {

inline constexpr simt::Stream kStream = nullptr;
inline constexpr std::uint64_t kSeeds = 5;

inline void for_seeds(const std::function<void()>& body) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    simt::set_seed(seed);
    body();
  }
}

/// Every order finds the fault, and its message holds every part.
inline void expect_fault(simt::Kind kind, const std::vector<std::string>& parts, const std::function<void()>& launch) {
  for_seeds([&] {
    try {
      launch();
      FAIL() << "no fault";
    } catch (const simt::Fault& fault) {
      EXPECT_EQ(static_cast<int>(fault.kind()), static_cast<int>(kind)) << fault.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(fault.what()).find(part), std::string::npos) << fault.what() << "\nlacks " << part;
      }
    }
  });
}

}  // namespace simt_testing
