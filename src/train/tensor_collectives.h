#pragma once
// Collectives over tensors, which lie on the host or on a GPU. fp32 and contiguous.

#include <ATen/core/Tensor.h>

#include "comm/collectives.h"

namespace thinkrec {

void all_reduce_sum(Collectives& ranks, const at::Tensor& values);
void broadcast(Collectives& ranks, const at::Tensor& values, int root);

}  // namespace thinkrec
