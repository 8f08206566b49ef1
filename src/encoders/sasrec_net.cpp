#include "encoders/sasrec_net.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "encoders/random.h"

namespace thinkrec {
namespace {

std::vector<ParameterSpec> specs(const EncoderConfig& config, std::int64_t items) {
  const std::int64_t d = config.width;
  const double deviation = 0.02, fan_in = 1 / std::sqrt(static_cast<double>(d));
  std::vector<ParameterSpec> list = {
      {"sasrec.item", {items, d}, 0, deviation, true, true},
      {"sasrec.item_mean", {d}, 0, deviation, false},
      {"sasrec.label_scale", {2, d}, 1, deviation, false},
      {"sasrec.label_shift", {2, d}, 0, deviation, false},
      {"sasrec.begin", {2, d}, 0, deviation, false},
      {"sasrec.position", {config.max_length + 1, d}, 0, deviation, false},
      {"sasrec.norm.scale", {d}, 1, 0, false},
      {"sasrec.norm.shift", {d}, 0, 0, false},
  };
  for (std::int64_t block = 0; block < config.blocks; ++block) {
    const std::string prefix = fmt::format("sasrec.block{}.", block);
    // No biases on queries and keys: a key bias shifts all scores of a query alike and would never have a gradient.
    for (const ParameterSpec& spec : std::vector<ParameterSpec>{{"norm1.scale", {d}, 1, 0, false},
                                                                {"norm1.shift", {d}, 0, 0, false},
                                                                {"qkv", {d, 3 * d}, 0, fan_in, true},
                                                                {"out", {d, d}, 0, fan_in, true},
                                                                {"out_bias", {d}, 0, 0, false},
                                                                {"norm2.scale", {d}, 1, 0, false},
                                                                {"norm2.shift", {d}, 0, 0, false},
                                                                {"up", {d, 2 * d}, 0, fan_in, true},
                                                                {"up_bias", {2 * d}, 0, 0, false},
                                                                {"down", {2 * d, d}, 0, fan_in / std::sqrt(2.0), true},
                                                                {"down_bias", {d}, 0, 0, false}}) {
      list.push_back(spec);
      list.back().name = prefix + spec.name;
    }
  }
  return list;
}

/// x [windows, length, width] times its masks; site tells the network's dropouts apart.
at::Tensor drop(const at::Tensor& x, const std::optional<WindowDropout>& dropout, std::uint64_t site) {
  if (!dropout || dropout->rate == 0) return x;
  const at::Tensor mask = at::empty(x.sizes(), at::kFloat);
  const auto size = static_cast<std::size_t>(x.size(1) * x.size(2));
  for (std::size_t window = 0; window < dropout->window_keys.size(); ++window) {
    fill_dropout({mask.data_ptr<float>() + window * size, size},
                 random_key({dropout->step_key, static_cast<std::uint64_t>(dropout->window_keys[window]), site}), dropout->rate);
  }
  return x * mask;
}

}  // namespace

SasrecNet::SasrecNet(const EncoderConfig& config, std::int64_t items)
    : width_(config.width), blocks_(config.blocks), heads_(config.heads), parameters_(specs(config, items), config.seed) {
  parameters_["sasrec.label_scale"].detach().select(0, 0).neg_();  // a dislike begins as the opposite of a like
}

void SasrecNet::start_from(const at::Tensor& items, const at::Tensor& prior) {
  constexpr double kDistance = 0.1;
  const at::Tensor mean = items.mean(0);
  parameters_["sasrec.item"].detach().copy_(items - mean);
  parameters_["sasrec.item_mean"].detach().copy_(mean);
  parameters_["sasrec.label_scale"].detach().mul_(kDistance);  // these items are larger than random ones
  parameters_["sasrec.norm.shift"].detach().copy_(prior);
  parameters_["sasrec.norm.scale"].detach().fill_(kDistance);
}

at::Tensor SasrecNet::item_vectors() const { return parameters_["sasrec.item"] + parameters_["sasrec.item_mean"]; }

at::Tensor SasrecNet::item_vectors(const at::Tensor& items) const {
  return parameters_.rows("sasrec.item", items) + parameters_["sasrec.item_mean"];
}

at::Tensor SasrecNet::norm(const at::Tensor& x, const std::string& name) const {
  return at::layer_norm(x, {width_}, parameters_[name + ".scale"], parameters_[name + ".shift"]);
}

at::Tensor SasrecNet::attention(const at::Tensor& x, std::int64_t block) const {
  const std::string prefix = fmt::format("sasrec.block{}.", block);
  const std::int64_t windows = x.size(0), length = x.size(1);
  const at::Tensor qkv = norm(x, prefix + "norm1").view({-1, width_}).mm(parameters_[prefix + "qkv"]);
  const at::Tensor parts = qkv.view({windows, length, 3, heads_, width_ / heads_}).permute({2, 0, 3, 1, 4});
  const at::Tensor mixed = at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0.0, /*is_causal=*/true);
  return at::addmm(parameters_[prefix + "out_bias"], mixed.transpose(1, 2).reshape({-1, width_}), parameters_[prefix + "out"])
      .view_as(x);
}

at::Tensor SasrecNet::feed_forward(const at::Tensor& x, std::int64_t block) const {
  const std::string prefix = fmt::format("sasrec.block{}.", block);
  const at::Tensor up =
      at::addmm(parameters_[prefix + "up_bias"], norm(x, prefix + "norm2").view({-1, width_}), parameters_[prefix + "up"]);
  return at::addmm(parameters_[prefix + "down_bias"], at::relu(up), parameters_[prefix + "down"]).view_as(x);
}

at::Tensor SasrecNet::states(const at::Tensor& items, const at::Tensor& labels, const at::Tensor& cut,
                             const std::optional<WindowDropout>& dropout) const {
  const at::Tensor judged = parameters_.rows("sasrec.item", items) * std::sqrt(static_cast<double>(width_)) *
                                at::embedding(parameters_["sasrec.label_scale"], labels) +
                            at::embedding(parameters_["sasrec.label_shift"], labels);
  const at::Tensor begin = at::embedding(parameters_["sasrec.begin"], cut).unsqueeze(1);
  at::Tensor x = at::cat({begin, judged}, 1) + parameters_["sasrec.position"].narrow(0, 0, items.size(1) + 1);
  x = drop(x, dropout, 0);
  for (std::int64_t block = 0; block < blocks_; ++block) {
    x = x + drop(attention(x, block), dropout, 2 * block + 1);
    x = x + drop(feed_forward(x, block), dropout, 2 * block + 2);
  }
  return norm(x, "sasrec.norm");
}

}  // namespace thinkrec
