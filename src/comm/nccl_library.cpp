#include "comm/nccl_library.h"

#include <dlfcn.h>

#include "core/error.h"
#include "core/joined.h"

namespace thinkrec {
namespace {

struct Opened {
  void* handle = nullptr;
  std::string name;
};

Opened open_first(const std::vector<std::string>& names, const char* what) {
  for (const auto& name : names) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD); handle != nullptr) return {handle, name};
  }
  std::string reasons;
  for (const auto& name : names) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) return {handle, name};
    const char* reason = dlerror();
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", reason != nullptr ? reason : name);
  }
  fail(ExitCode::kUsage, "{} is not here, looked for {} ({}): install it, add its folder to LD_LIBRARY_PATH, or run on the CPU",
       what, joined(names, ", "), reasons);
}

template <class Function>
void find(const Opened& library, const char* symbol, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library.handle, symbol));
  if (function == nullptr) {
    fail(ExitCode::kUsage, "{} has no {}: it is too old or another library; NCCL 2.14 and CUDA 12 or newer are needed",
         library.name, symbol);
  }
}

}  // namespace

std::string NcclLibrary::describe(int result, NcclComm comm) const {
  const char* last = get_last_error(comm);
  std::string text = get_error_string(result);
  if (last != nullptr && *last != '\0') text += fmt::format(": {}", last);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::shared_ptr<const NcclLibrary> load_nccl_library(const std::vector<std::string>& nccl, const std::vector<std::string>& cuda) {
  auto library = std::make_shared<NcclLibrary>();
  const Opened runtime = open_first(cuda, "the CUDA runtime");
  find(runtime, "cudaGetDeviceCount", library->cuda_get_device_count);
  find(runtime, "cudaSetDevice", library->cuda_set_device);
  find(runtime, "cudaStreamQuery", library->cuda_stream_query);
  find(runtime, "cudaGetErrorString", library->cuda_get_error_string);
  const Opened own = open_first(nccl, "NCCL");
  find(own, "ncclGetVersion", library->get_version);
  int version = 0;
  const int result = library->get_version(&version);
  if (result != kNcclSuccess || version < kOldestNccl) {
    fail(ExitCode::kUsage, "{} is NCCL version {}; {} (2.14.0) or newer is needed: update it", own.name, version, kOldestNccl);
  }
  find(own, "ncclGetUniqueId", library->get_unique_id);
  find(own, "ncclCommInitRankConfig", library->comm_init_rank_config);
  find(own, "ncclCommFinalize", library->comm_finalize);
  find(own, "ncclCommDestroy", library->comm_destroy);
  find(own, "ncclCommAbort", library->comm_abort);
  find(own, "ncclCommGetAsyncError", library->comm_get_async_error);
  find(own, "ncclGetErrorString", library->get_error_string);
  find(own, "ncclGetLastError", library->get_last_error);
  find(own, "ncclAllReduce", library->all_reduce);
  find(own, "ncclBroadcast", library->broadcast);
  find(own, "ncclAllGather", library->all_gather);
  return library;
}

}  // namespace thinkrec
