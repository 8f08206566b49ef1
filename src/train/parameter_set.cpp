#include "train/parameter_set.h"

#include <ATen/ATen.h>

#include <numbers>

#include "core/error.h"
#include "model/op_kernels.h"

namespace thinkrec {

ParameterSet::ParameterSet(NamedTensors parameters, double weight_decay)
    : parameters_(std::move(parameters)), weight_decay_(weight_decay) {
  std::int64_t total = 0;
  for (const auto& [name, tensor] : parameters_) total += tensor.numel();
  const at::Device device = parameters_.empty() ? at::Device(at::kCPU) : parameters_[0].second.device();
  gradient_ = at::zeros({total}, at::TensorOptions(at::kFloat).device(device));
  first_ = at::zeros_like(gradient_);
  second_ = at::zeros_like(gradient_);
  std::int64_t offset = 0;
  for (auto& [name, tensor] : parameters_) {
    tensor.requires_grad_(true);
    tensor.mutable_grad() = gradient_.narrow(0, offset, tensor.numel()).view(tensor.sizes());
    offset += tensor.numel();
  }
}

ParameterSet::~ParameterSet() {
  for (auto& [name, tensor] : parameters_) {
    tensor.mutable_grad().reset();
    tensor.requires_grad_(false);
  }
}

void ParameterSet::zero_gradient() { gradient_.zero_(); }

std::vector<kernels::AdamwTensor> ParameterSet::views() const {
  std::vector<kernels::AdamwTensor> all;
  std::int64_t offset = 0;
  for (const auto& [name, tensor] : parameters_) {
    all.push_back({tensor.mutable_data_ptr<float>(), gradient_.const_data_ptr<float>() + offset,
                   first_.mutable_data_ptr<float>() + offset, second_.mutable_data_ptr<float>() + offset, tensor.numel(),
                   tensor.dim() >= 2 ? static_cast<float>(weight_decay_) : 0.0F});
    offset += tensor.numel();
  }
  return all;
}

kernels::GradientNorm ParameterSet::norm() const { return kernels_for(gradient_).gradient_norm(views(), gradient_.device()); }

void ParameterSet::update(double rate, std::int64_t step, double norm, double clip) {
  kernels::AdamwStep setting;
  setting.learning_rate = rate;
  setting.step = step;
  setting.gradient_scale = clip > 0 && norm > clip ? clip / norm : 1.0;
  kernels_for(gradient_).adamw(views(), setting, gradient_.device());
}

StoredTensor store_tensor(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  const float* values = flat.const_data_ptr<float>();
  return {name, tensor.sizes().vec(), std::vector<float>(values, values + flat.numel())};
}

at::Tensor tensor_of(const StoredTensor& stored) {
  at::Tensor tensor = at::empty(stored.shape, at::kFloat);
  std::copy(stored.values.begin(), stored.values.end(), tensor.mutable_data_ptr<float>());
  return tensor;
}

NamedTensors tensors_with_prefix(const Checkpoint& checkpoint, const std::string& prefix) {
  NamedTensors found;
  for (const StoredTensor& stored : checkpoint.tensors) {
    if (!stored.name.starts_with(prefix)) continue;
    found.emplace_back(stored.name.substr(prefix.size()), tensor_of(stored));
  }
  return found;
}

std::vector<StoredTensor> ParameterSet::store(const std::string& prefix, bool values_only) const {
  std::vector<StoredTensor> all;
  std::int64_t offset = 0;
  for (const auto& [name, tensor] : parameters_) {
    all.push_back(store_tensor(prefix + name, tensor));
    if (!values_only) {
      all.push_back(store_tensor(prefix + "first/" + name, first_.narrow(0, offset, tensor.numel()).view(tensor.sizes())));
      all.push_back(store_tensor(prefix + "second/" + name, second_.narrow(0, offset, tensor.numel()).view(tensor.sizes())));
    }
    offset += tensor.numel();
  }
  return all;
}

void ParameterSet::restore(const Checkpoint& checkpoint, const std::string& prefix, bool values_only) {
  const at::NoGradGuard no_grad;
  const auto copy = [&](const std::string& name, const at::Tensor& to) {
    for (const StoredTensor& stored : checkpoint.tensors) {
      if (stored.name != prefix + name) continue;
      if (at::IntArrayRef(stored.shape) != to.sizes())
        fail(ExitCode::kBadData, "checkpoint: '{}' has another shape", stored.name);
      to.copy_(tensor_of(stored));
      return;
    }
    fail(ExitCode::kBadData, "checkpoint: '{}' is missing", prefix + name);
  };
  std::int64_t offset = 0;
  for (const auto& [name, tensor] : parameters_) {
    copy(name, tensor);
    if (!values_only) {
      copy("first/" + name, first_.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
      copy("second/" + name, second_.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
    }
    offset += tensor.numel();
  }
}

double learning_rate(std::int64_t step, std::int64_t steps, std::int64_t warmup, double peak, double floor) {
  if (step <= warmup) return peak * (0.1 + 0.9 * static_cast<double>(step) / static_cast<double>(warmup));
  if (steps <= warmup + 1) return peak;
  const double share = static_cast<double>(step - warmup - 1) / static_cast<double>(steps - warmup - 1);
  return floor + (peak - floor) * (1 + std::cos(std::numbers::pi * std::min(1.0, share))) / 2;
}

}  // namespace thinkrec
