#pragma once
// Where a run computes: run.device and run.dtype of the recipe against the GPUs that the ranks see.

#include <ATen/core/Tensor.h>

#include <string>

#include "comm/collectives.h"

namespace thinkrec {

struct DeviceWish {
  std::string device = "auto";  ///< auto, cpu or cuda
  std::string dtype = "auto";   ///< of the frozen weights and activations: auto, fp32 or bf16
  bool deterministic = true;
  /// Of matrix products of fp32 tensors: highest, high or medium (see run.matmul_precision).
  std::string matmul_precision = "highest";
};

/// Collective. auto: a GPU when every rank sees one, else the CPU with one log line saying why; ranks of a node take its GPUs in turn. bf16
/// on GPUs unless asked otherwise, fp32 on the CPU. Opens the GPU. kUsage, on all ranks, when cuda is asked for and some rank sees none;
/// kConfig for bf16 on the CPU. The precision of matrix products is set for the process.
at::TensorOptions choose_device(const DeviceWish& wish, Collectives& world);

/// Of the process, before its first tensor; choose_device does it for runs on the CPU. Tensors of 2 MB and more get pages of that size, where
/// Linux gives them on advice, unless THP_MEM_ALLOC_ENABLE is set already; and what a step's tensors free is kept for those of the next. With
/// small pages, each taken and zeroed anew, a step took 11 % longer.
void set_up_cpu_memory();

/// Of the process, before its first matrix product: MKL's products then have the same bits on any number of threads, which those of
/// a few rows have not otherwise. MKL_CBWR that is set already stays.
void set_up_strict_products();

}  // namespace thinkrec
