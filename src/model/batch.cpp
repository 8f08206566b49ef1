#include "model/batch.h"

#include <ATen/ATen.h>

namespace thinkrec {
namespace {

/// A copy of host values, whose bits are those of `type`, on the device.
template <class T>
at::Tensor copy_to(const std::vector<T>& values, at::ScalarType type, at::Device device) {
  at::Tensor host = at::empty({static_cast<std::int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), static_cast<T*>(host.mutable_data_ptr()));
  return host.to(device);
}

}  // namespace

DeviceBatch to_device(const PackedBatch& batch, at::Device device) {
  DeviceBatch there;
  there.position = copy_to(batch.position, at::kInt, device);
  there.sample = copy_to(batch.sample, at::kLong, device);
  there.begin = copy_to(std::vector<std::int32_t>(batch.begin.begin(), batch.begin.end()), at::kInt, device);
  there.begin_host = batch.begin;
  there.reach_host = batch.reach;
  for (std::int64_t row = 0; row < batch.rows(); ++row) there.longest = std::max(there.longest, batch.length(row));
  return there;
}

at::Tensor tokens_to_device(const PackedBatch& batch, at::Device device) { return copy_to(batch.token, at::kInt, device); }

}  // namespace thinkrec
