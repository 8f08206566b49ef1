#include "train/tensor_collectives.h"

namespace thinkrec {
namespace {

std::span<float> host_span(const at::Tensor& values) {
  return {values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())};
}

}  // namespace

void all_reduce_sum(Collectives& ranks, const at::Tensor& values) {
  if (values.is_cpu()) {
    ranks.all_reduce_sum(host_span(values));
  } else {
    ranks.all_reduce_sum_device(values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel()));
  }
}

void broadcast(Collectives& ranks, const at::Tensor& values, int root) {
  if (values.is_cpu()) {
    ranks.broadcast(std::as_writable_bytes(host_span(values)), root);
  } else {
    ranks.broadcast_device(values.mutable_data_ptr<float>(), values.nbytes(), root);
  }
}

}  // namespace thinkrec
