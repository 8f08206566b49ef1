#include "comm/nccl_collectives.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "comm/nccl_library.h"
#include "core/error.h"

namespace thinkrec {
namespace {

/// The time since it was made, and ever longer naps: short calls are met at once, long ones leave the core to others.
class Wait {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  void nap() {
    constexpr std::chrono::microseconds kLongest{500};
    if (++naps_ <= 50) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(nap_);
      nap_ = std::min(2 * nap_, kLongest);
    }
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::microseconds nap_{10};
  int naps_ = 0;
};

/// The GPU `device` exists; on rank 0, a new meeting point.
NcclUniqueId prepare(const NcclLibrary& library, int rank, int device) {
  int devices = 0;
  int result = library.cuda_get_device_count(&devices);
  if (result != kCudaSuccess || devices == 0) {
    fail(ExitCode::kUsage, "no GPU can be used: {}; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or run on the CPU",
         result != kCudaSuccess ? library.cuda_get_error_string(result) : "there is none");
  }
  if (device < 0 || device >= devices) {
    fail(
        ExitCode::kUsage,
        "GPU {} is not among the {} that this process sees (0 to {}): start fewer ranks per node, or look at CUDA_VISIBLE_DEVICES",
        device, devices, devices - 1);
  }
  result = library.cuda_set_device(device);
  if (result != kCudaSuccess) {
    fail(ExitCode::kUsage, "GPU {} cannot be used: {}; look at nvidia-smi", device, library.cuda_get_error_string(result));
  }
  NcclUniqueId id{};
  if (rank == 0) {
    result = library.get_unique_id(&id);
    if (result != kNcclSuccess) {
      fail(ExitCode::kUsage, "ncclGetUniqueId: {}; look at NCCL_SOCKET_IFNAME, and NCCL_DEBUG=INFO tells more",
           library.describe(result, nullptr));
    }
  }
  return id;
}

class NcclCollectives final : public Collectives {
 public:
  NcclCollectives(std::unique_ptr<Collectives> host, int device, NcclOptions options, std::shared_ptr<const NcclLibrary> library)
      : host_(std::move(host)), device_(device), options_(std::move(options)), library_(std::move(library)) {
    NcclUniqueId id{};
    on_each_rank(*host_, [&] {
      try {
        if (library_ == nullptr) library_ = load_nccl_library(options_.nccl_libraries, options_.cuda_libraries);
        id = prepare(*library_, rank(), device_);
      } catch (const Error& own) {
        fail(own.code(), "rank {} of {}: {}", rank(), size(), own.what());
      }
    });
    host_->broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    const Wait wait;
    NcclConfig config;
    settle(library_->comm_init_rank_config(&comm_, size(), id, rank(), &config), "ncclCommInitRankConfig", wait);
  }

  /// What fails in here fails unheard: the group is over.
  ~NcclCollectives() override {
    if (comm_ == nullptr) return;
    library_->cuda_set_device(device_);
    if (std::uncaught_exceptions() > 0 || !finalize()) {
      library_->comm_abort(comm_);
    } else {
      library_->comm_destroy(comm_);
    }
  }
  NcclCollectives(const NcclCollectives&) = delete;
  NcclCollectives& operator=(const NcclCollectives&) = delete;

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  void barrier() override { host_->barrier(); }
  void all_reduce_sum(std::span<float> values) override { host_->all_reduce_sum(values); }
  void all_reduce_sum(std::span<double> values) override { host_->all_reduce_sum(values); }
  void all_reduce_sum(std::span<std::int64_t> values) override { host_->all_reduce_sum(values); }
  void all_reduce_max(std::span<std::int64_t> values) override { host_->all_reduce_max(values); }
  void broadcast(std::span<std::byte> bytes, int root) override { host_->broadcast(bytes, root); }
  std::vector<std::byte> all_gather(std::span<const std::byte> bytes) override { return host_->all_gather(bytes); }
  std::unique_ptr<Collectives> split_by_node() override { return host_->split_by_node(); }
  std::unique_ptr<SharedMemory> allocate_shared(std::size_t bytes) override { return host_->allocate_shared(bytes); }

  std::unique_ptr<Collectives> split(int colour) override {
    auto part = host_->split(colour);
    if (part == nullptr) return nullptr;
    auto options = options_;
    options.name += fmt::format("/{}", colour);
    return std::make_unique<NcclCollectives>(std::move(part), device_, std::move(options), library_);
  }

  void all_reduce_sum_device(float* values, std::size_t count, void* stream) override {
    call("ncclAllReduce", count * sizeof(float), stream,
         [&] { return library_->all_reduce(values, values, count, kNcclFloat32, kNcclSum, comm_, stream); });
  }
  void broadcast_device(void* data, std::size_t bytes, int root, void* stream) override {
    THINKREC_CHECK(root >= 0 && root < size(), "root {} in a group of {}", root, size());
    call("ncclBroadcast", bytes, stream, [&] { return library_->broadcast(data, data, bytes, kNcclInt8, root, comm_, stream); });
  }
  void all_gather_device(void* parts, std::size_t bytes_each, void* stream) override {
    const auto* own = static_cast<const std::byte*>(parts) + static_cast<std::size_t>(rank()) * bytes_each;
    call("ncclAllGather", bytes_each, stream,
         [&] { return library_->all_gather(own, parts, bytes_each, kNcclInt8, comm_, stream); });
  }

 private:
  template <class Start>
  void call(const char* name, std::size_t bytes, void* stream, Start start) {
    if (comm_ == nullptr) fail(ExitCode::kPeerLost, "{}: the group '{}' was aborted after an earlier error", name, options_.name);
    if (bytes == 0) return;
    ++calls_;
    bytes_ = bytes;
    if (const int result = library_->cuda_set_device(device_); result != kCudaSuccess) lose_gpu(name, result);
    Wait wait;
    settle(start(), name, wait);
    while (true) {
      const int ready = library_->cuda_stream_query(stream);
      // An error ends the kernel as well, so NCCL is asked even when the stream is through.
      const int state = async_error();
      if (state != kNcclSuccess && state != kNcclInProgress) lose(name, state, wait);
      if (ready == kCudaSuccess) return;
      if (ready != kCudaNotReady) lose_gpu(name, ready);
      if (wait.seconds() > options_.timeout_s) lose(name, kNcclInProgress, wait);
      wait.nap();
    }
  }

  int async_error() const {
    int state = kNcclSuccess;
    const int result = library_->comm_get_async_error(comm_, &state);
    return result != kNcclSuccess ? result : state;
  }

  /// Waits until NCCL has taken in a call that returned `state`.
  void settle(int state, const char* name, Wait wait) {
    while (state == kNcclInProgress) {
      if (wait.seconds() > options_.timeout_s) break;
      wait.nap();
      state = async_error();
    }
    if (state != kNcclSuccess) lose(name, state, wait);
  }

  /// False when the others do not come along in time.
  bool finalize() const {
    Wait wait;
    int state = library_->comm_finalize(comm_);
    while (state == kNcclInProgress && wait.seconds() <= options_.timeout_s) {
      wait.nap();
      state = async_error();
    }
    return state == kNcclSuccess;
  }

  void abort() {
    if (comm_ != nullptr) library_->comm_abort(std::exchange(comm_, nullptr));
  }

  [[noreturn]] void lose_gpu(const char* name, int error) {
    abort();
    fail(ExitCode::kInternal, "{} on rank {} of group '{}': GPU {} failed: {}; look at nvidia-smi and dmesg", name, rank(),
         options_.name, device_, library_->cuda_get_error_string(error));
  }

  /// `state` is what NCCL says; in progress means that the time is up.
  [[noreturn]] void lose(const char* name, int state, const Wait& wait) {
    const double waited = wait.seconds();
    const std::string reason = state == kNcclInProgress ? "" : library_->describe(state, comm_);
    abort();
    const std::string what =
        calls_ == 0 ? fmt::format("{} on rank {} of {} of group '{}', GPU {}", name, rank(), size(), options_.name, device_)
                    : fmt::format("{} of {} bytes, call {} on rank {} of {} of group '{}', GPU {}", name, bytes_, calls_, rank(),
                                  size(), options_.name, device_);
    if (state == kNcclInProgress) {
      fail(
          ExitCode::kPeerLost,
          "{}: not done after {:.1f} s: a rank is lost, hangs or is slow. Look at the logs of the other ranks, or allow more time (timeout_s); "
          "NCCL_DEBUG=INFO tells more",
          what, waited);
    }
    const bool refused = state == kNcclInvalidUsage || state == kNcclInvalidArgument;
    if (refused && calls_ == 0) {
      fail(ExitCode::kUsage,
           "{}: {}. Give each rank its own GPU (or, to share one in a test, its own NCCL_HOSTID); NCCL_DEBUG=WARN tells more",
           what, reason);
    }
    if (refused) fail(ExitCode::kInternal, "{}: {}; NCCL_DEBUG=WARN tells more", what, reason);
    fail(
        ExitCode::kPeerLost,
        "{}: {} (after {:.1f} s): a rank or the network is lost. Look at the first error in the logs of all ranks; NCCL_DEBUG=INFO tells more",
        what, reason, waited);
  }

  std::unique_ptr<Collectives> host_;  // outlives the communicator
  int device_;
  NcclOptions options_;
  std::shared_ptr<const NcclLibrary> library_;
  NcclComm comm_ = nullptr;
  std::uint64_t calls_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Collectives> make_nccl_collectives(std::unique_ptr<Collectives> host, int device, const NcclOptions& options) {
  THINKREC_CHECK(host != nullptr);
  THINKREC_CHECK(options.timeout_s > 0.0, "a time-out of {} s", options.timeout_s);
  unsetenv("NCCL_PROXY_DUMP_SIGNAL");  // with it NCCL would catch a signal that is meant for the trainer
  return std::make_unique<NcclCollectives>(std::move(host), device, options, nullptr);
}

}  // namespace thinkrec
