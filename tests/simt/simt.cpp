// The scheduler of the emulator: launches, blocks in turn, and barriers, which are resolved when every lane has stopped.

#include "simt/simt.h"

#include <algorithm>
#include <array>
#include <bit>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>

#include "simt/fibres.h"
#include "simt/lane_clocks.h"
#include "simt/names.h"
#include "simt/red_zones.h"
#include "simt/shared_memory.h"

namespace simt {
namespace detail {
namespace {

/// Thrown in the fibres that are still waiting when a launch ends with a Fault, to leave their stacks.
struct Unwind {};

enum class Status : std::uint8_t { ready, block_barrier, warp_operation, exited };

struct Thread {
  Fibre* fibre = nullptr;
  uint3 index{};
  int warp = 0;
  int lane = 0;
  Status status = Status::exited;
  Operation operation = Operation::block;
  unsigned mask = 0;
  int parameter = 0;
  int width = 0;
  std::uint64_t value = 0;
  Site site;
};

struct Warp {
  unsigned lanes = 0;  // those that exist
  unsigned waiting = 0;
  LaneClocks clocks;
};

struct Random {
  std::uint64_t state;
  std::uint32_t below(std::uint32_t bound) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return static_cast<std::uint32_t>(((z >> 32) * bound) >> 32);
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
    }
  }
};

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

class Emulator {
 public:
  std::uint64_t seed = 1;
  Statistics statistics;
  SharedMemory shared;

  void launch(const LaunchShape& shape, const std::function<void()>& thread);
  void block_barrier(Site site);
  std::uint64_t warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width, Site site);
  Toucher toucher() const { return {running_->warp, running_->lane, &warps_[static_cast<std::size_t>(running_->warp)].clocks}; }
  /// Of the thread that runs, or of none.
  [[noreturn]] void fault(Kind kind, const std::string& message) const { fault(kind, message, running_); }

 private:
  [[noreturn]] void fault(Kind kind, const std::string& message, const Thread* thread) const;
  void validate(const LaunchShape& shape);
  void run_block(std::uint64_t block);
  void run_thread();
  void resume(Thread& thread);
  void suspend();
  void unwind();
  bool resolve_block_barrier();
  bool resolve_warps();
  void complete(Warp& warp, Thread* threads, int first, unsigned lanes);
  void exchange(Operation operation, Thread* threads, unsigned lanes);
  void make_ready(Thread& thread);
  [[noreturn]] void diagnose();

  const LaunchShape* shape_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  Random random_{};
  bool unwinding_ = false;
  std::exception_ptr error_;
  Thread* running_ = nullptr;

  Fibres fibres_{[this] { run_thread(); }};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<Thread*> ready_;
  std::vector<Thread*> turn_;
  std::size_t at_block_barrier_ = 0;
};

Emulator& emulator() {
  static Emulator* const instance = new Emulator;  // never destroyed: fibres outlive static destructors
  return *instance;
}

void Emulator::fault(Kind kind, const std::string& message, const Thread* thread) const {
  const std::string where = thread == nullptr ? "" : fmt::format(", block {}, thread {}", show(blockIdx), show(thread->index));
  throw Fault(kind,
              fmt::format("simt: kernel {}{}: {}: {}", shape_ == nullptr ? "?" : shape_->kernel, where, name_of(kind), message));
}

// Threads.

void Emulator::run_thread() {
  try {
    (*kernel_)();
  } catch (const Unwind&) {
  } catch (...) {
    if (!error_) {
      error_ = std::current_exception();
    }
  }
  running_->status = Status::exited;
}

void Emulator::resume(Thread& thread) {
  ++statistics.switches;
  running_ = &thread;
  threadIdx = thread.index;
  fibres_.resume(*thread.fibre);
  running_ = nullptr;
}

/// Until the barrier of the thread that runs is resolved.
void Emulator::suspend() {
  fibres_.suspend();
  if (unwinding_) {
    throw Unwind{};
  }
}

void Emulator::unwind() {
  unwinding_ = true;
  for (Thread& thread : threads_) {
    // A mask is set by every barrier: a thread without one has not started, and has nothing on its stack.
    if (thread.status != Status::exited && thread.mask != 0) {
      resume(thread);
    }
    thread.status = Status::exited;
  }
  unwinding_ = false;
}

// Launches.

void Emulator::validate(const LaunchShape& shape) {
  const dim3 grid = shape.grid;
  const dim3 block = shape.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    fault(Kind::launch, fmt::format("a grid of {} blocks", show(grid)));
  }
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > kMaxThreads) {
    fault(Kind::launch, fmt::format("a block of {} = {} threads", show(block), threads));
  }
  if (threads > shape.max_threads) {
    fault(Kind::launch, fmt::format("a block of {} threads, where THINKREC_KERNEL allows {}", threads, shape.max_threads));
  }
  if (shape.shared_bytes > kSharedLimit) {
    fault(Kind::launch, fmt::format("{} bytes of dynamic shared memory, of at most {}", shape.shared_bytes, kSharedLimit));
  }
}

void Emulator::launch(const LaunchShape& shape, const std::function<void()>& kernel) {
  if (shape_ != nullptr) {
    fault(Kind::launch, fmt::format("launched {} from a kernel", shape.kernel));
  }
  shape_ = &shape;
  struct Reset {
    Emulator& self;
    ~Reset() {
      self.unwind();
      self.shape_ = nullptr;
      self.kernel_ = nullptr;
      self.error_ = nullptr;
    }
  } reset{*this};
  validate(shape);
  ++statistics.launches;
  kernel_ = &kernel;
  random_ = Random{seed * 0x2545f4914f6cdd1d};
  gridDim = shape.grid;
  blockDim = shape.block;
  shared.start_launch(shape.shared_bytes);

  const std::size_t count = std::size_t{shape.block.x} * shape.block.y * shape.block.z;
  threads_.assign(count, Thread{});
  warps_.resize((count + kWarpSize - 1) / kWarpSize);
  for (std::size_t i = 0; i < count; ++i) {
    Thread& thread = threads_[i];
    thread.fibre = fibres_.at(i);
    thread.warp = static_cast<int>(i / kWarpSize);
    thread.lane = static_cast<int>(i % kWarpSize);
    thread.index = index_in(shape.block, i);
  }
  std::vector<std::uint64_t> blocks(std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z);
  std::iota(blocks.begin(), blocks.end(), std::uint64_t{0});
  random_.shuffle(blocks);
  for (const std::uint64_t block : blocks) {
    run_block(block);
  }
  check_red_zones(shape.kernel);
}

void Emulator::run_block(std::uint64_t block) {
  ++statistics.blocks;
  shared.start_block();
  blockIdx = index_in(gridDim, block);
  for (Warp& warp : warps_) {
    warp = Warp{};
  }
  ready_.clear();
  at_block_barrier_ = 0;
  for (Thread& thread : threads_) {
    thread.status = Status::ready;
    thread.operation = Operation::block;
    thread.mask = 0;
    warps_[static_cast<std::size_t>(thread.warp)].lanes |= bit(thread.lane);
    ready_.push_back(&thread);
  }
  std::size_t exited = 0;
  while (exited < threads_.size()) {
    turn_.swap(ready_);
    ready_.clear();
    random_.shuffle(turn_);
    for (Thread* thread : turn_) {
      resume(*thread);
      if (error_) {
        std::rethrow_exception(error_);
      }
      if (thread->status == Status::exited) {
        ++exited;
      }
    }
    const bool warps_moved = resolve_warps();
    if (!warps_moved && !resolve_block_barrier() && exited < threads_.size()) {
      diagnose();
    }
  }
}

// Barriers.

void Emulator::make_ready(Thread& thread) {
  thread.status = Status::ready;
  ready_.push_back(&thread);
}

void Emulator::block_barrier(Site site) {
  Thread& me = *running_;
  me.status = Status::block_barrier;
  me.operation = Operation::block;
  me.mask = ~0u;
  me.site = site;
  ++at_block_barrier_;
  suspend();
}

std::uint64_t Emulator::warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width,
                                       Site site) {
  Thread& me = *running_;
  if ((mask & bit(me.lane)) == 0) {
    fault(Kind::barrier,
          fmt::format("{} at {} with a mask {:#010x} which leaves out the calling lane {}", name_of(operation), show(site), mask,
                      me.lane));
  }
  if (width < 1 || width > kWarpSize || !std::has_single_bit(static_cast<unsigned>(width))) {
    fault(Kind::barrier, fmt::format("{} at {} with a width of {}", name_of(operation), show(site), width));
  }
  me.status = Status::warp_operation;
  me.operation = operation;
  me.mask = mask;
  me.value = value;
  me.parameter = parameter;
  me.width = width;
  me.site = site;
  warps_[static_cast<std::size_t>(me.warp)].waiting |= bit(me.lane);
  suspend();
  return me.value;
}

bool Emulator::resolve_block_barrier() {
  if (at_block_barrier_ != threads_.size()) {
    return false;
  }
  for (const Thread& thread : threads_) {
    if (!same(thread.site, threads_[0].site)) {
      fault(Kind::barrier,
            fmt::format("waits at __syncthreads at {}, thread {} at {}", show(thread.site), show(threads_[0].index),
                        show(threads_[0].site)),
            &thread);
    }
  }
  at_block_barrier_ = 0;
  shared.block_barrier();
  for (Thread& thread : threads_) {
    make_ready(thread);
  }
  return true;
}

bool Emulator::resolve_warps() {
  bool moved = false;
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    Warp& warp = warps_[w];
    Thread* const threads = &threads_[w * kWarpSize];
    for (unsigned left = warp.waiting; left != 0;) {
      const int first = std::countr_zero(left);
      const Thread& leader = threads[first];
      const unsigned lanes = leader.mask & warp.lanes;
      left &= ~bit(first);
      if ((lanes & ~warp.waiting) != 0) {
        continue;
      }
      bool agree = true;
      for_lanes(lanes, [&](int lane) {
        const Thread& other = threads[lane];
        agree = agree && other.operation == leader.operation && other.mask == leader.mask && other.width == leader.width &&
                same(other.site, leader.site);
      });
      if (agree) {
        complete(warp, threads, first, lanes);
        left &= ~lanes;
        moved = true;
      }
    }
  }
  return moved;
}

/// All of the lanes wait at the same operation; `first` is one of them.
void Emulator::complete(Warp& warp, Thread* threads, int first, unsigned lanes) {
  if (threads[first].operation == Operation::warp) {
    warp.clocks.meet(lanes);
  } else {
    exchange(threads[first].operation, threads, lanes);
  }
  warp.waiting &= ~lanes;
  for_lanes(lanes, [&](int lane) { make_ready(threads[lane]); });
}

/// Shuffles and votes.
void Emulator::exchange(Operation operation, Thread* threads, unsigned lanes) {
  std::array<std::uint64_t, kWarpSize> given{};
  std::uint64_t ballot = 0;
  for_lanes(lanes, [&](int lane) {
    given[static_cast<std::size_t>(lane)] = threads[lane].value;
    ballot |= threads[lane].value != 0 ? bit(lane) : 0;
  });
  for_lanes(lanes, [&](int lane) {
    Thread& me = threads[lane];
    if (operation == Operation::ballot || operation == Operation::any) {
      me.value = operation == Operation::ballot ? ballot : ballot != 0;
      return;
    }
    const int begin = lane & ~(me.width - 1);
    int source = lane;
    if (operation == Operation::shfl) {
      source = begin + (me.parameter & (me.width - 1));
    } else {
      source = operation == Operation::shfl_xor ? lane ^ me.parameter : lane + me.parameter;
      source = source >= begin + me.width ? lane : source;
    }
    if (source < 0 || source >= kWarpSize || (lanes & bit(source)) == 0) {
      fault(Kind::barrier,
            fmt::format("{} at {} reads lane {}, which does not take part (mask {:#010x})", name_of(operation), show(me.site),
                        source, me.mask),
            &me);
    }
    me.value = given[static_cast<std::size_t>(source)];
  });
}

/// Nothing can move: says which threads wait for whom.
void Emulator::diagnose() {
  const auto state = [](const Thread& thread) {
    if (thread.status == Status::exited) {
      return std::string("has exited");
    }
    return fmt::format("waits at {} at {}", name_of(thread.operation), show(thread.site));
  };
  for (const Thread& thread : threads_) {
    if (thread.status != Status::warp_operation) {
      continue;
    }
    const Warp& warp = warps_[static_cast<std::size_t>(thread.warp)];
    for (unsigned rest = thread.mask & warp.lanes; rest != 0; rest &= rest - 1) {
      const Thread& other = threads_[static_cast<std::size_t>(thread.warp * kWarpSize + std::countr_zero(rest))];
      const bool met =
          other.status == Status::warp_operation && other.operation == thread.operation && same(other.site, thread.site);
      if (!met || other.mask != thread.mask || other.width != thread.width) {
        fault(Kind::barrier,
              fmt::format("waits at {} at {} with mask {:#010x}, but its lane {} (thread {}) {}{}", name_of(thread.operation),
                          show(thread.site), thread.mask, other.lane, show(other.index), state(other),
                          met ? fmt::format(" with mask {:#010x}, width {}", other.mask, other.width) : ""),
              &thread);
      }
    }
  }
  const Thread* waits = nullptr;
  const Thread* missing = nullptr;
  for (const Thread& thread : threads_) {
    (thread.status == Status::block_barrier ? waits : missing) = &thread;
  }
  fault(Kind::barrier,
        fmt::format("waits at __syncthreads at {} with {} of {} threads, but thread {} {}", show(waits->site), at_block_barrier_,
                    threads_.size(), show(missing->index), state(*missing)),
        waits);
}

}  // namespace

void block_barrier(Site site) { emulator().block_barrier(site); }

std::uint64_t warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width, Site site) {
  return emulator().warp_operation(operation, mask, value, parameter, width, site);
}

SharedArray* static_shared(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule) {
  return emulator().shared.static_array(declaration, name, bytes, granule);
}

SharedArray* dynamic_shared(const char* name, std::size_t granule) { return emulator().shared.dynamic_array(name, granule); }

std::byte* touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use) {
  return emulator().shared.touch(array, offset, bytes, use, emulator().toucher());
}

void fault(Kind kind, const std::string& message) { emulator().fault(kind, message); }

void check_aligned(std::uintptr_t address, std::size_t bytes, Site site) {
  if (address % bytes != 0) {
    fault(Kind::misaligned, fmt::format("an access of {} bytes at {:#x}, at {}", bytes, address, show(site)));
  }
}

void launch(const LaunchShape& shape, const std::function<void()>& thread) {
  static std::recursive_mutex mutex;  // so that a launch from a kernel is a Fault
  const std::scoped_lock lock(mutex);
  emulator().launch(shape, thread);
}

}  // namespace detail

void set_seed(std::uint64_t seed) { detail::emulator().seed = seed; }

const Statistics& statistics() { return detail::emulator().statistics; }

}  // namespace simt
