#pragma once
// NCCL and the few calls of the CUDA runtime that go with it, found when a program runs: thinkrec builds and runs where neither exists.
// Declared here as in nccl.h and cuda_runtime_api.h, whose enumerations are ints to a caller.

#include <climits>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace thinkrec {

struct NcclUniqueId {
  char internal[128];
};

/// ncclConfig_t of NCCL 2.14, the first with non-blocking communicators; later versions read `size` and `version` and fill in the rest.
struct NcclConfig {
  std::size_t size = sizeof(NcclConfig);
  unsigned int magic = 0xcafebeef;
  unsigned int version = 21400;
  int blocking = 0;
  int unset = INT_MIN;
};

using NcclComm = struct ncclComm*;
using CudaStream = void*;

constexpr int kNcclSuccess = 0, kNcclInvalidArgument = 4, kNcclInvalidUsage = 5, kNcclInProgress = 7;  // ncclResult_t
constexpr int kNcclInt8 = 0, kNcclFloat32 = 7;                                                         // ncclDataType_t
constexpr int kNcclSum = 0;                                                                            // ncclRedOp_t
constexpr int kCudaSuccess = 0, kCudaNotReady = 600;                                                   // cudaError_t
constexpr int kOldestNccl = 21400;                                                                     // NCCL_VERSION(2, 14, 0)

struct NcclLibrary {
  int (*get_version)(int*);
  int (*get_unique_id)(NcclUniqueId*);
  int (*comm_init_rank_config)(NcclComm*, int ranks, NcclUniqueId, int rank, NcclConfig*);
  int (*comm_finalize)(NcclComm);
  int (*comm_destroy)(NcclComm);
  int (*comm_abort)(NcclComm);
  int (*comm_get_async_error)(NcclComm, int*);
  const char* (*get_error_string)(int);
  const char* (*get_last_error)(NcclComm);
  int (*all_reduce)(const void* from, void* to, std::size_t count, int type, int operation, NcclComm, CudaStream);
  int (*broadcast)(const void* from, void* to, std::size_t count, int type, int root, NcclComm, CudaStream);
  int (*all_gather)(const void* from, void* to, std::size_t count_each, int type, NcclComm, CudaStream);
  int (*cuda_get_device_count)(int*);
  int (*cuda_set_device)(int);
  int (*cuda_stream_query)(CudaStream);
  const char* (*cuda_get_error_string)(int);

  /// "unhandled system error: what NCCL last complained about". `comm` may be null.
  std::string describe(int result, NcclComm comm) const;
};

/// Takes what the process already has loaded (libtorch brings its own), else the first of the names that can be loaded. Error(kUsage)
/// naming them and the remedy when there is none, when a symbol is missing, or when NCCL is older than 2.14. Never unloaded.
std::shared_ptr<const NcclLibrary> load_nccl_library(const std::vector<std::string>& nccl, const std::vector<std::string>& cuda);

}  // namespace thinkrec
