#include "adapters/projector.h"

#include <ATen/ATen.h>

#include "adapters/random.h"
#include "core/error.h"
#include "core/joined.h"

namespace thinkrec {

Projector::Projector(std::int64_t d1, std::int64_t d2, const ProjectorConfig& config, double embedding_rms, std::uint64_t seed,
                     std::int64_t soft_tokens) {
  // Uniform values of the embeddings' size.
  if (soft_tokens > 0) soft_ = uniform_tensor({soft_tokens, d2}, embedding_rms * std::sqrt(3.0), seed, 1004);
  if (d1 == 0) return;
  const std::int64_t hidden = config.expansion * d1;
  const double in = 1 / std::sqrt(static_cast<double>(d1)), out = 1 / std::sqrt(static_cast<double>(hidden));
  w1_ = uniform_tensor({hidden, d1}, in, seed, 1000);
  b1_ = uniform_tensor({hidden}, in, seed, 1001);
  w2_ = uniform_tensor({d2, hidden}, out, seed, 1002);
  b2_ = uniform_tensor({d2}, out, seed, 1003);
  // For features of unit variance the hidden layer has variance about 1/3 + 1/(3 d1), half of it cut by the ReLU; the second layer's
  // weights have variance 1/(3 hidden): the output's root mean square is about 1/sqrt(18).
  if (config.match_scale) scale_ = embedding_rms * std::sqrt(18.0);
}

Projector Projector::clone() const { return to(defined() ? device() : soft_.defined() ? soft_.device() : at::Device(at::kCPU)); }

Projector Projector::to(at::Device device) const {
  Projector copy = *this;
  for (at::Tensor Projector::*member : {&Projector::w1_, &Projector::b1_, &Projector::w2_, &Projector::b2_, &Projector::soft_}) {
    if (!(this->*member).defined()) continue;
    copy.*member = (this->*member).detach().to(device, at::kFloat, false, /*copy=*/true);
  }
  return copy;
}

at::Tensor Projector::apply(const at::Tensor& features) const {
  return at::linear(at::relu(at::linear(features, w1_, b1_)), w2_, b2_) * scale_;
}

NamedTensors Projector::named() const {
  NamedTensors all = named_soft();
  if (!defined()) return all;
  all.insert(all.begin(),
             {{"projector.0.weight", w1_}, {"projector.0.bias", b1_}, {"projector.2.weight", w2_}, {"projector.2.bias", b2_}});
  return all;
}

NamedTensors Projector::named_soft() const {
  if (!soft_.defined()) return {};
  return {{"soft_prompt.weight", soft_}};
}

NamedTensors Projector::folded() const {
  NamedTensors all = named();
  for (auto& [name, tensor] : all) tensor = name.starts_with("projector.2.") ? tensor.detach() * scale_ : tensor.detach().clone();
  return all;
}

void Projector::load(const NamedTensors& values, const std::string& origin) {
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : named()) {
    bool found = false;
    for (const auto& [other, value] : values) {
      if (other != name) continue;
      if (value.sizes() != tensor.sizes()) {
        fail(ExitCode::kBadData, "{}: '{}' has shape [{}], the encoder and the model ask for [{}]", origin, name,
             joined(value.sizes(), ", "), joined(tensor.sizes(), ", "));
      }
      tensor.copy_(value);
      found = true;
    }
    if (!found) fail(ExitCode::kBadData, "{}: '{}' is missing", origin, name);
  }
}

}  // namespace thinkrec
