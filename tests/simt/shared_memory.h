#pragma once
// The shared memory of the block that runs, and its shadow: who has touched which granule since the last barrier. Across warps the order
// of accesses is the number of the block barrier (epoch), inside one its LaneClocks.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "simt/lane_clocks.h"
#include "simt/simt.h"

namespace simt::detail {

/// Who touches shared memory.
struct Toucher {
  int warp = 0;
  int lane = 0;
  const LaneClocks* clocks = nullptr;  // of the warp
};

class SharedMemory {
 public:
  /// Before the blocks of a launch that gives each so many bytes.
  void start_launch(std::size_t dynamic_bytes);
  /// Forgets the arrays and values of the block before.
  void start_block();
  /// All that the block did comes before all that it does from now on.
  void block_barrier() { ++epoch_; }

  SharedArray* static_array(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule);
  SharedArray* dynamic_array(const char* name, std::size_t granule);
  /// Checks bounds, initialisation and races of an access, records it and returns where the bytes are.
  std::byte* touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use, const Toucher& me);

 private:
  SharedArray* add(const char* name, std::size_t bytes, std::size_t granule);
  bool concurrent(const Access& access, const Toucher& me, unsigned* others) const;
  void record(Access& access, const Toucher& me, bool atomic) const;

  std::uint64_t block_ = 0;        // counts over all launches
  std::uint32_t epoch_ = 0;        // as well
  std::uint32_t block_epoch_ = 0;  // the first of this block: what was written before it is not initialised
  std::size_t dynamic_bytes_ = 0;
  std::deque<SharedArray> arrays_;
  SharedArray* dynamic_ = nullptr;
  struct alignas(128) Line {
    std::byte bytes[128];
  };
  std::vector<Line> arena_ = std::vector<Line>(kSharedLimit / sizeof(Line) + 1);
  std::size_t arena_used_ = 0;
  std::vector<Granule> granules_;
  std::size_t granules_used_ = 0;
};

}  // namespace simt::detail
