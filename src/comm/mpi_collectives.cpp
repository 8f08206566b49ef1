#include "comm/mpi_collectives.h"

#include <sys/statvfs.h>

#include <cstdlib>
#include <exception>
#include <limits>
#include <new>
#include <string>

#include "core/error.h"

namespace thinkrec {
namespace {

/// The one place where a result of MPI is looked at.
void check(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail(ExitCode::kPeerLost, "{}: {}; another rank was lost, or MPI is misconfigured: look at the first error of the job", call,
       text);
}

/// Destructors may run after World has gone.
bool mpi_is_up() {
  int finalized = 0;
  return MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0;
}

/// Open MPI keeps shared windows in files of this folder. Where they do not fit, its rank 0 returns an error and the others hang, so the
/// ranks look first, and agree.
void check_room(MPI_Comm node, int rank, std::size_t bytes) {
  int size = 1;
  check(MPI_Comm_size(node, &size), "MPI_Comm_size");
  if (size == 1) return;  // private memory
  const char* chosen = std::getenv("OMPI_MCA_osc_sm_backing_directory");
  const std::string folder = chosen != nullptr ? chosen : "/dev/shm";
  std::int64_t room = std::numeric_limits<std::int64_t>::max();
  struct statvfs about {};
  if (rank == 0 && statvfs(folder.c_str(), &about) == 0) room = static_cast<std::int64_t>(about.f_bavail * about.f_frsize);
  check(MPI_Bcast(&room, 1, MPI_INT64_T, 0, node), "MPI_Bcast");
  if (bytes > static_cast<std::uint64_t>(room)) {
    fail(
        ExitCode::kIo,
        "{} has {} MB free and the ranks of this machine need {} MB to share: enlarge it (in a container: docker run --shm-size), or set "
        "OMPI_MCA_osc_sm_backing_directory to a folder with room",
        folder, room / 1'000'000, bytes / 1'000'000);
  }
}

/// One window of shared memory, all of it on rank 0's side.
class WindowMemory final : public SharedMemory {
 public:
  WindowMemory(MPI_Comm node, std::size_t bytes) : bytes_(bytes) {
    constexpr std::size_t kAlignment = 64;
    if (bytes > kMostSharedBytes) throw std::bad_alloc();
    int rank = 0;
    check(MPI_Comm_rank(node, &rank), "MPI_Comm_rank");
    check_room(node, rank, bytes + kAlignment);
    const MPI_Aint own = rank == 0 ? static_cast<MPI_Aint>(bytes + kAlignment) : 0;
    void* mine = nullptr;
    check(MPI_Win_allocate_shared(own, 1, MPI_INFO_NULL, node, &mine, &window_), "MPI_Win_allocate_shared");
    MPI_Aint size = 0;
    int unit = 0;
    void* base = nullptr;
    const int queried = MPI_Win_shared_query(window_, 0, &size, &unit, &base);
    if (queried != MPI_SUCCESS) MPI_Win_free(&window_);
    check(queried, "MPI_Win_shared_query");
    // Pages are mapped at different addresses in the ranks, but at the same offset in a page: all ranks skip the same bytes.
    auto room = static_cast<std::size_t>(size);
    data_ = static_cast<std::byte*>(std::align(kAlignment, bytes, base, room));
    THINKREC_CHECK(data_ != nullptr, "{} bytes in a window of {}", bytes, size);
  }
  ~WindowMemory() override {
    // Freeing waits for all ranks. A rank that unwinds is about to abort the job and must get there.
    if (mpi_is_up() && std::uncaught_exceptions() == 0) MPI_Win_free(&window_);
  }
  WindowMemory(const WindowMemory&) = delete;
  WindowMemory& operator=(const WindowMemory&) = delete;
  std::span<std::byte> bytes() override { return {data_, bytes_}; }

 private:
  std::size_t bytes_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::byte* data_ = nullptr;
};

class MpiCollectives final : public Collectives {
 public:
  /// Takes over `own`.
  MpiCollectives(MPI_Comm own, std::size_t most_elements) : comm_(own), most_elements_(most_elements) {
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }
  ~MpiCollectives() override {
    if (mpi_is_up() && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
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
    THINKREC_CHECK(root >= 0 && root < size_, "root {} in a group of {}", root, size_);
    for (std::size_t at = 0; at < bytes.size(); at += most_elements_) {
      check(MPI_Bcast(bytes.data() + at, count(bytes.size(), at), MPI_BYTE, root, comm_), "MPI_Bcast");
    }
  }

  std::vector<std::byte> all_gather(std::span<const std::byte> bytes) override {
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
    const auto own = static_cast<std::int64_t>(bytes.size());
    check(MPI_Allgather(&own, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm_), "MPI_Allgather");
    std::size_t total = 0;
    for (const std::int64_t length : lengths) total += static_cast<std::size_t>(length);
    std::vector<std::byte> all(total);
    if (total <= most_elements_) {
      gather_short(bytes, lengths, all);
    } else {
      gather_long(bytes, lengths, all);
    }
    return all;
  }

  std::unique_ptr<Collectives> split(int colour) override {
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, colour < 0 ? MPI_UNDEFINED : colour, rank_, &part), "MPI_Comm_split");
    return part == MPI_COMM_NULL ? nullptr : std::make_unique<MpiCollectives>(part, most_elements_);
  }

  std::unique_ptr<Collectives> split_by_node() override {
    MPI_Comm node = MPI_COMM_NULL;
    check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
    return std::make_unique<MpiCollectives>(node, most_elements_);
  }

  std::unique_ptr<SharedMemory> allocate_shared(std::size_t bytes) override {
    return std::make_unique<WindowMemory>(comm_, bytes);
  }

 private:
  int count(std::size_t size, std::size_t at) const { return static_cast<int>(std::min(most_elements_, size - at)); }

  /// To rank 0 and back: every rank ends with the same bits whatever algorithm MPI picks for sizes and ranks, and MPI_Reduce adds in
  /// the same order each time it is called with the same sizes.
  template <class T>
  void reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation) {
    for (std::size_t at = 0; at < values.size(); at += most_elements_) {
      T* here = values.data() + at;
      const int n = count(values.size(), at);
      check(MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : here, here, n, type, operation, 0, comm_), "MPI_Reduce");
      check(MPI_Bcast(here, n, type, 0, comm_), "MPI_Bcast");
    }
  }

  void gather_short(std::span<const std::byte> bytes, std::span<const std::int64_t> lengths, std::vector<std::byte>& all) {
    std::vector<int> counts, places;
    int at = 0;
    for (const std::int64_t length : lengths) {
      counts.push_back(static_cast<int>(length));
      places.push_back(at);
      at += static_cast<int>(length);
    }
    check(MPI_Allgatherv(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, all.data(), counts.data(), places.data(),
                         MPI_BYTE, comm_),
          "MPI_Allgatherv");
  }

  /// Each rank in turn broadcasts its part.
  void gather_long(std::span<const std::byte> bytes, std::span<const std::int64_t> lengths, std::vector<std::byte>& all) {
    std::size_t at = 0;
    for (int r = 0; r < size_; ++r) {
      const auto part = std::span(all).subspan(at, static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]));
      if (r == rank_) std::copy(bytes.begin(), bytes.end(), part.begin());
      broadcast(part, r);
      at += part.size();
    }
  }

  MPI_Comm comm_;
  std::size_t most_elements_;
  int rank_ = 0, size_ = 1;
};

}  // namespace

std::unique_ptr<Collectives> make_mpi_collectives(MPI_Comm communicator, std::size_t most_elements) {
  THINKREC_CHECK(most_elements >= 1 && most_elements <= kMostMessageElements, "{} elements a message", most_elements);
  MPI_Comm own = MPI_COMM_NULL;
  check(MPI_Comm_dup(communicator, &own), "MPI_Comm_dup");
  return std::make_unique<MpiCollectives>(own, most_elements);
}

}  // namespace thinkrec
