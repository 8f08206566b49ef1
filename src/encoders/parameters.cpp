#include "encoders/parameters.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "encoders/random.h"

namespace thinkrec {
namespace {

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (std::int64_t side : shape) product *= side;
  return product;
}

std::uint64_t name_key(const std::string& name) {  // FNV-1a
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001B3u;
  return hash;
}

}  // namespace

Parameters::Parameters(std::vector<ParameterSpec> specs, std::uint64_t seed) : specs_(std::move(specs)) {
  begins_.push_back(0);
  for (const auto& spec : specs_) begins_.push_back(begins_.back() + elements(spec.shape));
  values_ = at::empty({begins_.back()}, at::kFloat);
  gradients_ = at::zeros({begins_.back()}, at::kFloat);
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const auto& spec = specs_[i];
    const auto part = values().subspan(begins_[i], begins_[i + 1] - begins_[i]);
    fill_normal(part, random_key({seed, name_key(spec.name)}), spec.deviation);
    for (float& value : part) value += static_cast<float>(spec.mean);
    const auto view = [&](const at::Tensor& flat) { return flat.narrow(0, begins_[i], part.size()).view(spec.shape).detach(); };
    at::Tensor tensor = view(values_);
    tensor.set_requires_grad(true);
    tensor.mutable_grad() = view(gradients_);  // backward() adds into it in place
    tensors_.push_back(tensor);
  }
}

at::Tensor Parameters::operator[](const std::string& name) const {
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return tensors_[i];
  fail(ExitCode::kInternal, "no parameter {}", name);
}

std::span<float> Parameters::values() { return {values_.data_ptr<float>(), static_cast<std::size_t>(values_.numel())}; }
std::span<float> Parameters::gradients() { return {gradients_.data_ptr<float>(), static_cast<std::size_t>(gradients_.numel())}; }

NamedTensors Parameters::copies() const {
  NamedTensors result;
  for (std::size_t i = 0; i < specs_.size(); ++i) result.emplace_back(specs_[i].name, tensors_[i].detach().clone());
  return result;
}

void Parameters::assign(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (std::none_of(specs_.begin(), specs_.end(), [&](const auto& spec) { return spec.name == name; }))
      fail(ExitCode::kBadData,
           "encoder checkpoint: tensor {} is not one of this encoder; was it trained with another encoder.kind?", name);
  }
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const auto& spec = specs_[i];
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == spec.name; });
    if (found == tensors.end()) fail(ExitCode::kBadData, "encoder checkpoint: tensor {} is missing; encode again", spec.name);
    if (found->second.sizes() != at::IntArrayRef(spec.shape))
      fail(ExitCode::kBadData,
           "encoder checkpoint: tensor {} has shape [{}], the recipe and the data set ask for [{}]; use theirs or encode again",
           spec.name, fmt::join(found->second.sizes(), ", "), fmt::join(spec.shape, ", "));
    tensors_[i].detach().copy_(found->second);
  }
}

Adam::Adam(Parameters& parameters, double learning_rate, double weight_decay)
    : parameters_(parameters),
      learning_rate_(learning_rate),
      weight_decay_(weight_decay),
      first_(parameters.values().size()),
      second_(parameters.values().size()) {}

void Adam::step(float scale) {
  constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kEpsilon = 1e-8f;
  ++steps_;
  const double correction1 = 1 - std::pow(double{kBeta1}, steps_), correction2 = 1 - std::pow(double{kBeta2}, steps_);
  const auto rate = static_cast<float>(learning_rate_ / correction1);
  const auto root = static_cast<float>(1 / std::sqrt(correction2));
  float* const values = parameters_.values().data();
  const float* const gradients = parameters_.gradients().data();
  for (std::size_t part = 0; part < parameters_.specs().size(); ++part) {
    const bool decay = parameters_.specs()[part].decay;
    const float shrink = decay ? static_cast<float>(1 - learning_rate_ * weight_decay_) : 1.0f;
    for (std::int64_t i = parameters_.begin(part); i < parameters_.begin(part + 1); ++i) {
      const float gradient = gradients[i] * scale;
      first_[i] = kBeta1 * first_[i] + (1 - kBeta1) * gradient;
      second_[i] = kBeta2 * second_[i] + (1 - kBeta2) * gradient * gradient;
      values[i] = values[i] * shrink - rate * first_[i] / (std::sqrt(second_[i]) * root + kEpsilon);
    }
  }
}

}  // namespace thinkrec
