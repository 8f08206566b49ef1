// A TEST DOUBLE of NCCL and of the CUDA runtime, never part of the product: a shared library with their C symbols, on host memory, for
// ranks that are processes of one machine. Sums are taken in rank order. Like the real one it works behind the caller's back: a call
// returns at once, the communicator and the stream are "in progress" until a thread of the communicator has done it with the others.
// Ranks meet in a memfd that the unique id names, so that nothing is left behind whatever dies.
//
// Its own environment variables, read by nothing else:
//   NCCL_DOUBLE_FAULT=[RANK/]KIND@K   the K-th call of this process (counted from 1 over ncclCommInitRankConfig and the collectives) goes
//                                     wrong, on all ranks or on that one; several with commas between them. KIND is one of
//       fail        the call returns an error
//       misuse      the call returns that it makes no sense
//       async       the call is accepted, ncclCommGetAsyncError reports the error, the stream ends
//       hang        the call is accepted and never done
//       die         the process is killed
//       cuda        the call is accepted, the stream reports an illegal access
//       delay       with :MS at the end (delay@2:500): the call is done that much later
//   NCCL_DOUBLE_VERSION=21300         what ncclGetVersion says
//   NCCL_DOUBLE_DEVICES=2             number of GPUs; 8 if unset
//   NCCL_HOSTID                       as NCCL: ranks of the same host id may not share a GPU

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "comm/nccl_library.h"

namespace {

using thinkrec::NcclConfig;
using thinkrec::NcclUniqueId;

constexpr int kSuccess = 0, kSystemError = 2, kInternalError = 3, kInvalidArgument = 4, kInvalidUsage = 5, kRemoteError = 6,
              kInProgress = 7;
constexpr int kCudaInvalidValue = 1, kCudaNoDevice = 100, kCudaInvalidDevice = 101, kCudaNotReady = 600,
              kCudaIllegalAddress = 700;
constexpr int kMostRanks = 64;
constexpr std::size_t kChunk = 1 << 20;  // bytes; a multiple of four

/// What the ranks of a communicator share. All zero at first, as a new file is.
struct Meeting {
  struct Place {
    std::atomic<std::uint64_t> step;  // how many barriers this rank has reached
    std::atomic<bool> gone;           // it has aborted
    int device;
    char host[64];
    struct Call {
      int what, type, root;
      std::uint64_t count;
    } call;
    alignas(64) char chunk[kChunk];
  } places[kMostRanks];
};

struct Aborted {};

std::mutex streams_mutex;
std::map<void*, int> pending;         // per stream
std::atomic<int> cuda_error{0};       // sticky, as in CUDA
thread_local std::string last_error;  // of calls without a communicator
std::atomic<int> calls{0};
std::atomic<int> communicators{0}, aborts{0};  // alive; so far

struct Fault {
  std::string kind;
  int milliseconds = 0;
};

Fault fault_of_this_call(int rank) {
  const int call = ++calls;
  const char* plan = std::getenv("NCCL_DOUBLE_FAULT");
  if (plan == nullptr) return {};
  std::istringstream plans(plan);
  for (std::string text; std::getline(plans, text, ',');) {
    if (const auto slash = text.find('/'); slash != std::string::npos) {
      if (std::atoi(text.c_str()) != rank) continue;
      text = text.substr(slash + 1);
    }
    const auto at = text.find('@');
    if (at == std::string::npos || std::atoi(text.c_str() + at + 1) != call) continue;
    Fault fault{text.substr(0, at), 0};
    if (const auto colon = text.find(':'); colon != std::string::npos) fault.milliseconds = std::atoi(text.c_str() + colon + 1);
    if (fault.kind == "die") raise(SIGKILL);
    return fault;
  }
  return {};
}

int number_of(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoi(text) : otherwise;
}

thread_local int current_device = 0;

}  // namespace

/// One rank's end of a communicator; one thread does its calls in order.
struct ncclComm {
  Meeting* meeting = nullptr;
  int rank = 0, size = 1, device = 0;
  std::uint64_t step = 0;
  std::atomic<bool> aborted{false}, stop{false};
  std::atomic<int> error{kSuccess};
  std::mutex mutex;
  std::condition_variable wake;
  struct Job {
    std::function<void()> run;
    bool shows = false;
  };
  std::deque<Job> jobs;
  int open_jobs = 0;  // queued or running, that show
  std::string message;
  std::thread worker;

  ncclComm() { ++communicators; }
  ~ncclComm() {
    --communicators;
    stop = true;
    wake.notify_all();
    if (worker.joinable()) worker.join();
    if (meeting != nullptr && aborted) meeting->places[rank].gone = true;
    if (meeting != nullptr) munmap(meeting, sizeof(Meeting));
  }

  /// Collectives are in progress only until they are taken in; then it is the stream that is busy.
  void start(std::function<void()> job, bool shows = true) {
    const std::scoped_lock lock(mutex);
    if (shows) ++open_jobs;
    jobs.push_back({std::move(job), shows});
    if (!worker.joinable()) worker = std::thread([this] { work(); });
    wake.notify_all();
  }

  int state() {
    const std::scoped_lock lock(mutex);  // first: an error is reported before its job is over
    if (error != kSuccess) return error;
    return open_jobs > 0 ? kInProgress : kSuccess;
  }

  void report(int result, const std::string& text) {
    const std::scoped_lock lock(mutex);
    message = text;
    error = result;
  }

  void nap() const {
    if (aborted) throw Aborted{};
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  void hang() const {
    while (true) nap();
  }
  void sleep(int milliseconds) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (std::chrono::steady_clock::now() < end) nap();
  }

  void barrier() {
    meeting->places[rank].step.store(++step);
    for (int r = 0; r < size; ++r) {
      while (meeting->places[r].step.load() < step) nap();
    }
  }

 private:
  void work() {
    while (true) {
      Job job;
      {
        std::unique_lock lock(mutex);
        wake.wait_for(lock, std::chrono::milliseconds(20), [&] { return stop || !jobs.empty(); });
        if (stop) return;
        if (jobs.empty()) continue;
        job = std::move(jobs.front());
        jobs.pop_front();
      }
      try {
        if (!aborted) job.run();
      } catch (const Aborted&) {
      }
      const std::scoped_lock lock(mutex);
      if (job.shows) --open_jobs;
    }
  }
};

namespace {

int elements_size(int type) { return type == 7 ? 4 : 1; }  // float32 and int8

void meet(ncclComm* comm, std::string host) {
  auto& own = comm->meeting->places[comm->rank];
  own.device = comm->device;
  host.resize(std::min(host.size(), sizeof own.host - 1));
  std::memcpy(own.host, host.c_str(), host.size() + 1);
  comm->barrier();
  for (int a = 0; a < comm->size; ++a) {
    for (int b = 0; b < a; ++b) {
      const auto &one = comm->meeting->places[a], &other = comm->meeting->places[b];
      if (one.device == other.device && std::strcmp(one.host, other.host) == 0) {
        comm->report(kInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " + std::to_string(b) +
                                        " both on CUDA device " + std::to_string(one.device));
        return;
      }
    }
  }
}

enum What { kReduce = 1, kBroadcast, kGather };

/// `count` elements that this rank gives (to broadcast: that the root gives).
void collective(ncclComm* comm, Meeting::Place::Call call, const void* from, void* to) {
  auto* places = comm->meeting->places;
  places[comm->rank].call = call;
  comm->barrier();
  for (int r = 0; r < comm->size; ++r) {
    const auto& other = places[r].call;
    if (other.what != call.what || other.count != call.count || other.type != call.type || other.root != call.root) {
      comm->report(kInternalError, "rank " + std::to_string(r) + " made another call than rank " + std::to_string(comm->rank));
      return;
    }
  }
  const std::size_t bytes = call.count * static_cast<std::size_t>(elements_size(call.type));
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  for (std::size_t at = 0; at < bytes; at += kChunk) {
    const std::size_t n = std::min(kChunk, bytes - at);
    if (call.what != kBroadcast || comm->rank == call.root) std::memcpy(places[comm->rank].chunk, source + at, n);
    comm->barrier();
    if (call.what == kReduce) {
      for (std::size_t i = 0; i < n; i += sizeof(float)) {
        float sum = 0.0F;
        for (int r = 0; r < comm->size; ++r) {
          float value;
          std::memcpy(&value, places[r].chunk + i, sizeof value);
          sum = r == 0 ? value : sum + value;
        }
        std::memcpy(target + at + i, &sum, sizeof sum);
      }
    } else if (call.what == kBroadcast) {
      std::memcpy(target + at, places[call.root].chunk, n);
    } else {
      for (int r = 0; r < comm->size; ++r) std::memcpy(target + static_cast<std::size_t>(r) * bytes + at, places[r].chunk, n);
    }
    comm->barrier();
  }
}

int begin(ncclComm* comm, Meeting::Place::Call call, const void* from, void* to, void* stream) {
  if (comm == nullptr) return kInvalidArgument;
  if (comm->error != kSuccess) return comm->error;
  const Fault fault = fault_of_this_call(comm->rank);
  if (fault.kind == "fail" || fault.kind == "misuse") {
    comm->report(fault.kind == "fail" ? kSystemError : kInvalidUsage, "the double was told to " + fault.kind);
    return comm->error;
  }
  {
    const std::scoped_lock lock(streams_mutex);
    ++pending[stream];
  }
  comm->start(
      [=] {
        struct Done {
          void* stream;
          ~Done() {
            const std::scoped_lock lock(streams_mutex);
            --pending[stream];
          }
        } done{stream};
        if (fault.kind == "hang") comm->hang();
        if (fault.kind == "delay") comm->sleep(fault.milliseconds);
        if (fault.kind == "async") {
          comm->sleep(100);  // the call has long been taken in
          return comm->report(kRemoteError, "the double was told to lose its peer");
        }
        if (fault.kind == "cuda") {
          cuda_error = kCudaIllegalAddress;
          return;
        }
        collective(comm, call, from, to);
      },
      false);
  return kInProgress;
}

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  *version = number_of("NCCL_DOUBLE_VERSION", 22809);
  return kSuccess;
}

const char* ncclGetErrorString(int result) {
  constexpr const char* kTexts[] = {"no error",
                                    "unhandled cuda error",
                                    "unhandled system error",
                                    "internal error",
                                    "invalid argument",
                                    "invalid usage",
                                    "remote process exited or there was a network error",
                                    "NCCL operation in progress"};
  return result >= 0 && result <= kInProgress ? kTexts[result] : "unknown result code";
}

const char* ncclGetLastError(ncclComm* comm) {
  if (comm != nullptr) {
    const std::scoped_lock lock(comm->mutex);
    last_error = comm->message;
  }
  return last_error.c_str();
}

int ncclGetUniqueId(NcclUniqueId* id) {
  const int file = static_cast<int>(syscall(SYS_memfd_create, "thinkrec_nccl_double", MFD_CLOEXEC));
  if (file < 0 || ftruncate(file, sizeof(Meeting)) != 0) return kSystemError;
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/proc/%d/fd/%d", getpid(), file);  // open as long as this process lives
  return kSuccess;
}

int ncclCommInitRankConfig(ncclComm** made, int size, NcclUniqueId id, int rank, NcclConfig* config) {
  if (config == nullptr || config->magic != 0xcafebeef || config->size < sizeof(NcclConfig) || config->blocking != 0 ||
      size > kMostRanks || rank < 0 || rank >= size) {
    last_error = "the double takes non-blocking communicators of at most 64 ranks";
    return kInvalidArgument;
  }
  const Fault fault = fault_of_this_call(rank);
  if (fault.kind == "fail") {
    last_error = "the double was told to fail";
    return kSystemError;
  }
  const int file = open(id.internal, O_RDWR | O_CLOEXEC);
  void* memory = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  if (memory == MAP_FAILED) {
    last_error = std::string("no meeting point at ") + id.internal;
    return kSystemError;
  }
  auto* comm = new ncclComm;
  comm->meeting = static_cast<Meeting*>(memory);
  comm->rank = rank;
  comm->size = size;
  comm->device = current_device;
  const char* host = std::getenv("NCCL_HOSTID");
  comm->start([comm, fault, host = std::string(host != nullptr ? host : "this machine")] {
    if (fault.kind == "hang") comm->hang();
    if (fault.kind == "delay") comm->sleep(fault.milliseconds);
    if (fault.kind == "async") return comm->report(kRemoteError, "the double was told to lose its peer");
    meet(comm, host);
  });
  *made = comm;
  return kInProgress;
}

int ncclCommGetAsyncError(ncclComm* comm, int* error) {
  *error = comm->state();
  return kSuccess;
}

/// As the real one, not over before all ranks come.
int ncclCommFinalize(ncclComm* comm) {
  if (comm->error != kSuccess) return comm->error;
  comm->start([comm] {
    comm->barrier();
    for (int r = 0; r < comm->size; ++r) {
      if (comm->meeting->places[r].gone) comm->hang();
    }
  });
  return kInProgress;
}

int ncclCommDestroy(ncclComm* comm) {
  delete comm;
  return kSuccess;
}

int ncclCommAbort(ncclComm* comm) {
  ++aborts;
  comm->aborted = true;
  delete comm;
  return kSuccess;
}

int ncclAllReduce(const void* from, void* to, std::size_t count, int type, int operation, ncclComm* comm, void* stream) {
  if (type != 7 || operation != 0) return kInvalidArgument;  // sums of floats
  return begin(comm, {kReduce, type, 0, count}, from, to, stream);
}

int ncclBroadcast(const void* from, void* to, std::size_t count, int type, int root, ncclComm* comm, void* stream) {
  return begin(comm, {kBroadcast, type, root, count}, from, to, stream);
}

int ncclAllGather(const void* from, void* to, std::size_t count, int type, ncclComm* comm, void* stream) {
  return begin(comm, {kGather, type, 0, count}, from, to, stream);
}

int cudaGetDeviceCount(int* count) {
  *count = number_of("NCCL_DOUBLE_DEVICES", 8);
  return *count > 0 ? kSuccess : kCudaNoDevice;
}

int cudaSetDevice(int device) {
  if (device < 0 || device >= number_of("NCCL_DOUBLE_DEVICES", 8)) return kCudaInvalidDevice;
  current_device = device;
  return kSuccess;
}

int cudaStreamQuery(void* stream) {
  if (cuda_error != kSuccess) return cuda_error;
  const std::scoped_lock lock(streams_mutex);
  return pending[stream] > 0 ? kCudaNotReady : kSuccess;
}

int cudaStreamCreate(void** stream) {
  *stream = new char;
  return kSuccess;
}

int cudaStreamDestroy(void* stream) {
  delete static_cast<char*>(stream);
  return kSuccess;
}

int cudaMalloc(void** memory, std::size_t bytes) {
  *memory = std::malloc(std::max<std::size_t>(bytes, 1));
  return *memory != nullptr ? kSuccess : kCudaInvalidValue;
}

int cudaFree(void* memory) {
  std::free(memory);
  return kSuccess;
}

int cudaMemcpy(void* to, const void* from, std::size_t bytes, int) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return kSuccess;
}

const char* cudaGetErrorString(int error) {
  switch (error) {
    case kSuccess:
      return "no error";
    case kCudaNoDevice:
      return "no CUDA-capable device is detected";
    case kCudaInvalidDevice:
      return "invalid device ordinal";
    case kCudaIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "an error of the double";
  }
}

// For the tests: how many communicators this process has, and how many it has aborted so far.
int ncclDoubleCommunicators() { return communicators; }
int ncclDoubleAborts() { return aborts; }

}  // extern "C"
