#pragma once
// What ranks do together. A reference is passed to whoever needs it: there is no global rank. A world of one is a real
// implementation, not a special case. All calls are collective: every rank of the group makes them in the same order.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace thinkrec {

/// What a process can address. allocate_shared refuses more with std::bad_alloc.
constexpr std::size_t kMostSharedBytes = std::size_t{1} << 47;

class Collectives {
 public:
  virtual ~Collectives() = default;
  virtual int rank() const = 0;  ///< of this process in this group, 0 .. size-1
  virtual int size() const = 0;

  /// Tells whoever watches the ranks (watchdog.h) that this one gets on, between collectives.
  virtual void note_progress() {}

  virtual void barrier() = 0;
  /// Element-wise sums over ranks, in place; every rank receives the same bits.
  virtual void all_reduce_sum(std::span<float> values) = 0;
  virtual void all_reduce_sum(std::span<double> values) = 0;
  virtual void all_reduce_sum(std::span<std::int64_t> values) = 0;
  virtual void all_reduce_max(std::span<std::int64_t> values) = 0;
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;
  /// Concatenation in rank order of what each rank gives (lengths may differ). Over 2 GiB is fine.
  virtual std::vector<std::byte> all_gather(std::span<const std::byte> bytes) = 0;
  /// Groups by colour, ordered by rank; every rank gets its own group. A negative colour is in no group and gets nullptr.
  virtual std::unique_ptr<Collectives> split(int colour) = 0;
  /// The ranks of this group that share this machine's memory.
  virtual std::unique_ptr<Collectives> split_by_node() = 0;
  /// Memory shared by all ranks of a node group (call it on what split_by_node gives). See SharedMemory. std::bad_alloc, or
  /// Error(kIo) with a remedy, when the machine does not have it.
  virtual std::unique_ptr<class SharedMemory> allocate_shared(std::size_t bytes) = 0;

  /// The same on GPU memory, in place, after what `stream` (a cudaStream_t; null: the default stream) already holds. They return when the
  /// result is there. A world of one does nothing; a group that only knows host memory throws Error(kUsage).
  virtual void all_reduce_sum_device(float* values, std::size_t count, void* stream = nullptr);
  virtual void broadcast_device(void* data, std::size_t bytes, int root, void* stream = nullptr);
  /// `parts` has room for size() parts of bytes_each; this rank's part stands at its place, rank() * bytes_each.
  virtual void all_gather_device(void* parts, std::size_t bytes_each, void* stream = nullptr);
};

/// One allocation that all ranks of a node group see: some fill it, then barrier(), then all read. Its first byte is
/// aligned to 64. Destroying it is collective too; a rank that destroys it while an exception passes does not wait for the others.
class SharedMemory {
 public:
  virtual ~SharedMemory() = default;
  virtual std::span<std::byte> bytes() = 0;
};

/// A world of one: no MPI needed.
std::unique_ptr<Collectives> make_solo_collectives();

/// all_gather of trivially copyable values.
template <class T>
std::vector<T> all_gather_values(Collectives& group, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto bytes = group.all_gather(std::as_bytes(values));
  std::vector<T> all(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(all.data()));
  return all;
}

/// broadcast of a string: every rank ends with root's, whatever it held before.
void broadcast_text(Collectives& group, std::string& text, int root);

/// Runs `body` on rank 0 of the group; its Error is thrown on every rank. Collective.
void on_rank_zero(Collectives& group, const std::function<void()>& body);
/// Runs `body`, which calls no collective, on each rank; the Error of the lowest rank that has one is thrown on every rank. Collective.
void on_each_rank(Collectives& group, const std::function<void()>& body);

}  // namespace thinkrec
