#include "train/device.h"

#include <ATen/Context.h>
#include <malloc.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/log.h"
#include "gpu/gpu.h"

namespace thinkrec {
namespace {

/// Why some rank has no GPU, the same text on all ranks; empty when all have one. `count` is this rank's number of GPUs.
std::string missing_gpu(Collectives& world, int& count) {
  std::string why;
  count = gpu_count(why);
  std::int64_t first = count > 0 ? -1 : world.size() - world.rank();  // the largest is that of the lowest rank without
  world.all_reduce_max(std::span(&first, 1));
  if (first < 0) return "";
  const int rank = world.size() - static_cast<int>(first);
  broadcast_text(world, why, rank);
  return world.size() == 1 ? why : fmt::format("rank {}: {}", rank, why);
}

}  // namespace

void set_up_cpu_memory() {
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);  // c10 looks for it at the first tensor
  mallopt(M_MMAP_THRESHOLD, 32 << 20);                   // glibc allows no more
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

void set_up_strict_products() {
  // Intel says so of its branches for AVX2 and AVX-512, and of no later one that AUTO may take.
  const bool wide = __builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f");
  setenv("MKL_CBWR", wide ? "AVX512,STRICT" : "AUTO,STRICT", /*overwrite=*/0);
}

at::TensorOptions choose_device(const DeviceWish& wish, Collectives& world) {
  at::globalContext().setFloat32MatmulPrecision(wish.matmul_precision);
  const auto on_cpu = [&] {
    if (wish.dtype == "bf16") fail(ExitCode::kConfig, "run.dtype bf16 is for GPUs, and this run is on the CPU: use fp32 or auto");
    set_up_cpu_memory();
    return at::TensorOptions(at::kFloat);
  };
  if (wish.device == "cpu") return on_cpu();
  int count = 0;
  const std::string missing = missing_gpu(world, count);
  if (!missing.empty()) {
    if (wish.device == "cuda") {
      fail(ExitCode::kUsage,
           "there is no GPU for device cuda ({}): ask for device auto or cpu (run.device, --device), or use a machine with one",
           missing);
    }
    log_info("no GPU ({}): running on the CPU", missing);
    return on_cpu();
  }
  const int index = world.split_by_node()->rank() % count;
  open_gpu(index, wish.deterministic);
  return at::TensorOptions(wish.dtype == "fp32" ? at::kFloat : at::kBFloat16)
      .device(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)));
}

}  // namespace thinkrec
