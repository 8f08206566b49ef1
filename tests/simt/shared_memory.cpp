#include "simt/shared_memory.h"

#include <algorithm>
#include <string>

#include "simt/names.h"

namespace simt::detail {
namespace {

[[noreturn]] void race(const SharedArray& array, std::size_t offset, const char* what, const Access& access, unsigned others) {
  std::string who = "another thread";
  if (others != 0) {
    who = "thread " + show(index_in(blockDim, static_cast<std::uint64_t>(access.warp * kWarpSize + std::countr_zero(others))));
  }
  fault(Kind::race, fmt::format("{} shared {} at byte {} as {} did, with no barrier between", what, array.name, offset, who));
}

}  // namespace

void SharedMemory::start_launch(std::size_t dynamic_bytes) {
  dynamic_bytes_ = dynamic_bytes;
  if (epoch_ > 0x80000000u) {  // start again before the counter wraps
    granules_.assign(granules_.size(), Granule{});
    epoch_ = 0;
  }
}

void SharedMemory::start_block() {
  ++block_;
  block_epoch_ = ++epoch_;
  arrays_.clear();
  arena_used_ = 0;
  granules_used_ = 0;
  dynamic_ = nullptr;
}

SharedArray* SharedMemory::add(const char* name, std::size_t bytes, std::size_t granule) {
  const std::size_t start = (arena_used_ + 127) / 128 * 128;
  const std::size_t count = bytes / granule;
  if (granules_.size() < granules_used_ + count) {
    // Pointers into it are only held by arrays of this block.
    std::vector<Granule> grown(granules_used_ + count);
    std::copy(granules_.begin(), granules_.end(), grown.begin());
    for (SharedArray& array : arrays_) {
      array.granules = grown.data() + (array.granules - granules_.data());
    }
    granules_.swap(grown);
  }
  if (start + bytes > kSharedLimit) {
    fault(Kind::launch,
          fmt::format("shared array {} brings the block to {} bytes, of at most {}", name, start + bytes, kSharedLimit));
  }
  arrays_.push_back({name, arena_[0].bytes + start, bytes, granule, granules_.data() + granules_used_});
  arena_used_ = start + bytes;
  granules_used_ += count;
  return &arrays_.back();
}

SharedArray* SharedMemory::static_array(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule) {
  if (declaration.block != block_) {
    std::size_t used = bytes;
    for (const SharedArray& array : arrays_) {
      used += &array == dynamic_ ? 0 : array.size;
    }
    if (used > kStaticSharedLimit) {
      fault(Kind::launch,
            fmt::format("shared array {} brings static shared memory to {} bytes, of at most {}", name, used, kStaticSharedLimit));
    }
    declaration = {block_, add(name, bytes, granule)};
  }
  return declaration.array;
}

SharedArray* SharedMemory::dynamic_array(const char* name, std::size_t granule) {
  if (dynamic_ == nullptr) {
    dynamic_ = add(name, dynamic_bytes_ / granule * granule, granule);
  }
  if (granule < dynamic_->granule) {
    fault(Kind::launch,
          fmt::format("dynamic shared memory {} was declared before as {} with wider elements", name, dynamic_->name));
  }
  return dynamic_;
}

bool SharedMemory::concurrent(const Access& access, const Toucher& me, unsigned* others) const {
  if (access.epoch != epoch_) {
    return false;
  }
  *others = access.lanes;
  if (access.warp != me.warp) {
    return true;
  }
  *others = access.lanes & ~bit(me.lane);
  if (access.many_warps) {
    return true;
  }
  for (unsigned rest = *others; rest != 0; rest &= rest - 1) {
    if (!me.clocks->before(std::countr_zero(rest), access.stamp, me.lane)) {
      return true;
    }
  }
  return false;
}

/// Adds me to the accesses that nothing orders, or replaces those that all come before.
void SharedMemory::record(Access& access, const Toucher& me, bool atomic) const {
  const std::uint32_t stamp = me.clocks->now(me.lane);
  unsigned others = 0;
  if (!concurrent(access, me, &others)) {
    access = {epoch_, stamp, bit(me.lane), static_cast<std::uint16_t>(me.warp), false, atomic};
  } else if (access.warp != me.warp) {
    access.many_warps = true;
  } else {
    access.lanes |= bit(me.lane);
    access.stamp = std::min(access.stamp, stamp);
  }
}

std::byte* SharedMemory::touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use, const Toucher& me) {
  if (offset < 0 || static_cast<std::size_t>(offset) + bytes > array.size) {
    fault(Kind::bounds,
          fmt::format("shared {}: bytes {} to {} of {}{}", array.name, offset, offset + static_cast<std::ptrdiff_t>(bytes),
                      array.size, &array == dynamic_ ? " that the launch asked for" : ""));
  }
  const auto begin = static_cast<std::size_t>(offset);
  unsigned others = 0;
  for (std::size_t at = begin; at < begin + bytes; at += array.granule) {
    Granule& granule = array.granules[at / array.granule];
    if (use != Use::write && granule.write.epoch < block_epoch_) {
      fault(Kind::uninitialised, fmt::format("shared {} at byte {} is read before it is written", array.name, at));
    }
    if (use == Use::read) {
      if (concurrent(granule.write, me, &others)) {
        race(array, at, "read after write (RAW): reads", granule.write, others);
      }
      record(granule.read, me, false);
      continue;
    }
    const bool atomic = use == Use::atomic;
    if (!(atomic && granule.write.atomic) && concurrent(granule.write, me, &others)) {
      race(array, at, "write after write (WAW): writes", granule.write, others);
    }
    if (concurrent(granule.read, me, &others)) {
      race(array, at, "write after read (WAR): writes", granule.read, others);
    }
    record(granule.write, me, atomic);
    granule.read = Access{};
  }
  return array.bytes + begin;
}

}  // namespace simt::detail
