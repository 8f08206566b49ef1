#include <cstdlib>
#include <new>

#include "comm/collectives.h"
#include "core/error.h"

namespace thinkrec {
namespace {

class PrivateMemory final : public SharedMemory {
 public:
  explicit PrivateMemory(std::size_t bytes) : bytes_(bytes) {
    constexpr std::size_t kPage = 4096;
    if (bytes > kMostSharedBytes) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(std::aligned_alloc(kPage, (bytes / kPage + 1) * kPage));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~PrivateMemory() override { std::free(data_); }
  PrivateMemory(const PrivateMemory&) = delete;
  PrivateMemory& operator=(const PrivateMemory&) = delete;
  std::span<std::byte> bytes() override { return {data_, bytes_}; }

 private:
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

/// A world of one: every reduction is what it was given.
class SoloCollectives final : public Collectives {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void barrier() override {}
  void all_reduce_sum(std::span<float>) override {}
  void all_reduce_sum(std::span<double>) override {}
  void all_reduce_sum(std::span<std::int64_t>) override {}
  void all_reduce_max(std::span<std::int64_t>) override {}
  void broadcast(std::span<std::byte>, int root) override { THINKREC_CHECK(root == 0, "root {} in a world of one", root); }
  std::vector<std::byte> all_gather(std::span<const std::byte> bytes) override { return {bytes.begin(), bytes.end()}; }
  std::unique_ptr<Collectives> split(int colour) override { return colour < 0 ? nullptr : make_solo_collectives(); }
  std::unique_ptr<Collectives> split_by_node() override { return make_solo_collectives(); }
  std::unique_ptr<SharedMemory> allocate_shared(std::size_t bytes) override { return std::make_unique<PrivateMemory>(bytes); }
  void all_reduce_sum_device(float*, std::size_t, void*) override {}
  void broadcast_device(void*, std::size_t, int root, void*) override { broadcast({}, root); }
  void all_gather_device(void*, std::size_t, void*) override {}
};

}  // namespace

std::unique_ptr<Collectives> make_solo_collectives() { return std::make_unique<SoloCollectives>(); }

}  // namespace thinkrec
