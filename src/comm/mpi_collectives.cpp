#include "comm/mpi_collectives.h"

#include <algorithm>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 28;  // of one message: counts of MPI are int

void check(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail(ExitCode::kPeerLost, "{}: {}; another rank was lost, or MPI is misconfigured", call, text);
}

class WindowMemory final : public SharedMemory {
 public:
  WindowMemory(MPI_Comm node, std::size_t bytes) : bytes_(bytes) {
    int rank = 0;
    check(MPI_Comm_rank(node, &rank), "MPI_Comm_rank");
    void* mine = nullptr;
    check(MPI_Win_allocate_shared(rank == 0 ? static_cast<MPI_Aint>(bytes) : 0, 1, MPI_INFO_NULL, node, &mine, &window_), "MPI_Win_allocate_shared");
    MPI_Aint size = 0;
    int unit = 0;
    void* base = nullptr;
    check(MPI_Win_shared_query(window_, 0, &size, &unit, &base), "MPI_Win_shared_query");
    data_ = static_cast<std::byte*>(base);
  }
  ~WindowMemory() override {
    int finalized = 0;
    if (MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0) MPI_Win_free(&window_);
  }
  std::span<std::byte> bytes() override { return {data_, bytes_}; }

 private:
  std::size_t bytes_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::byte* data_ = nullptr;
};

class MpiCollectives final : public Collectives {
 public:
  explicit MpiCollectives(MPI_Comm own) : comm_(own) {
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }
  ~MpiCollectives() override {
    int finalized = 0;
    if (MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0) MPI_Comm_free(&comm_);
  }
  MpiCollectives(const MpiCollectives&) = delete;
  MpiCollectives& operator=(const MpiCollectives&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void barrier() override { check(MPI_Barrier(comm_), "MPI_Barrier"); }
  void all_reduce_sum(std::span<float> values) override { reduce(values, MPI_FLOAT, MPI_SUM); }
  void all_reduce_sum(std::span<double> values) override { reduce(values, MPI_DOUBLE, MPI_SUM); }
  void all_reduce_sum(std::span<std::int64_t> values) override { reduce(values, MPI_INT64_T, MPI_SUM); }
  void all_reduce_max(std::span<std::int64_t> values) override { reduce(values, MPI_INT64_T, MPI_MAX); }

  void broadcast(std::span<std::byte> bytes, int root) override {
    for (std::size_t at = 0; at < bytes.size(); at += kMostElements) {
      check(MPI_Bcast(bytes.data() + at, count(bytes.size(), at), MPI_BYTE, root, comm_), "MPI_Bcast");
    }
  }

  std::vector<std::byte> all_gather(std::span<const std::byte> bytes) override {
    // Each rank in turn broadcasts its part: lengths may differ and messages may be long.
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
    const auto own = static_cast<std::int64_t>(bytes.size());
    check(MPI_Allgather(&own, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm_), "MPI_Allgather");
    std::int64_t total = 0;
    for (const std::int64_t length : lengths) total += length;
    std::vector<std::byte> all(static_cast<std::size_t>(total));
    std::size_t at = 0;
    for (int r = 0; r < size_; ++r) {
      const auto length = static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]);
      if (r == rank_) std::copy(bytes.begin(), bytes.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
      broadcast(std::span(all).subspan(at, length), r);
      at += length;
    }
    return all;
  }

  std::unique_ptr<Collectives> split(int colour) override {
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, colour < 0 ? MPI_UNDEFINED : colour, rank_, &part), "MPI_Comm_split");
    return part == MPI_COMM_NULL ? nullptr : std::make_unique<MpiCollectives>(part);
  }

  std::unique_ptr<Collectives> split_by_node() override {
    MPI_Comm node = MPI_COMM_NULL;
    check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
    return std::make_unique<MpiCollectives>(node);
  }

  std::unique_ptr<SharedMemory> allocate_shared(std::size_t bytes) override { return std::make_unique<WindowMemory>(comm_, bytes); }

 private:
  static int count(std::size_t size, std::size_t at) { return static_cast<int>(std::min(kMostElements, size - at)); }

  /// To rank 0 and back, so that every rank ends with the same bits, whatever algorithm MPI picks for sizes and ranks.
  template <class T>
  void reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation) {
    for (std::size_t at = 0; at < values.size(); at += kMostElements) {
      T* here = values.data() + at;
      const int n = count(values.size(), at);
      check(MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : here, here, n, type, operation, 0, comm_), "MPI_Reduce");
      check(MPI_Bcast(here, n, type, 0, comm_), "MPI_Bcast");
    }
  }

  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
};

}  // namespace

std::unique_ptr<Collectives> make_mpi_collectives(MPI_Comm communicator) {
  MPI_Comm own = MPI_COMM_NULL;
  check(MPI_Comm_dup(communicator, &own), "MPI_Comm_dup");
  return std::make_unique<MpiCollectives>(own);
}

}  // namespace thinkrec
