#include "encoders/parameters.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/joined.h"
#include "encoders/random.h"

namespace thinkrec {

struct TouchedRows {
  float* gradients = nullptr;  ///< of the table
  std::int64_t width = 0;
  std::vector<std::uint8_t> is_touched;  ///< per row
  std::vector<std::int64_t> list;        ///< in no order

  void touch(std::int64_t row) {
    if (is_touched[row] != 0) return;
    is_touched[row] = 1;
    list.push_back(row);
  }
};

namespace {

/// The graph of a loss does not outlive the parameters.
struct GatherRows : torch::autograd::Function<GatherRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& table, const at::Tensor& indices,
                            std::int64_t touched) {
    context->save_for_backward({indices});
    context->saved_data["touched"] = touched;
    return at::embedding(table, indices);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    auto& touched = *reinterpret_cast<TouchedRows*>(context->saved_data["touched"].toInt());
    const at::Tensor indices = context->get_saved_variables()[0].contiguous(), given = gradients[0].contiguous();
    const float* from = given.const_data_ptr<float>();
    for (std::int64_t i = 0; i < indices.numel(); ++i, from += touched.width) {
      const std::int64_t row = indices.const_data_ptr<std::int64_t>()[i];
      float* const to = touched.gradients + row * touched.width;
      for (std::int64_t k = 0; k < touched.width; ++k) to[k] += from[k];
      touched.touch(row);
    }
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

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
    if (!spec.sparse) continue;
    THINKREC_CHECK(!sparse_ && spec.shape.size() == 2, "{} is a second sparse table, or no table", spec.name);
    sparse_ = i;
    touched_ = std::make_shared<TouchedRows>();
    touched_->gradients = gradients().data() + begins_[i];
    touched_->width = spec.shape[1];
    touched_->is_touched.resize(spec.shape[0]);
  }
}

std::size_t Parameters::index(const std::string& name) const {
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return i;
  fail(ExitCode::kInternal, "no parameter {}", name);
}

at::Tensor Parameters::operator[](const std::string& name) const { return tensors_[index(name)]; }

at::Tensor Parameters::rows(const std::string& name, const at::Tensor& indices) const {
  const std::size_t part = index(name);
  if (!specs_[part].sparse) return at::embedding(tensors_[part], indices);
  return GatherRows::apply(tensors_[part], indices, reinterpret_cast<std::int64_t>(touched_.get()));
}

std::vector<std::int64_t> Parameters::touched() const {
  if (!touched_) return {};
  std::vector<std::int64_t> rows = touched_->list;
  std::sort(rows.begin(), rows.end());
  return rows;
}

void Parameters::touch(std::span<const std::int64_t> rows) {
  for (std::int64_t row : rows) touched_->touch(row);
}

void Parameters::clear_gradients() {
  float* const all = gradients().data();
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (!specs_[i].sparse) std::fill(all + begins_[i], all + begins_[i + 1], 0.0f);
  if (!touched_) return;
  for (std::int64_t row : touched_->list) {
    std::fill_n(touched_->gradients + row * touched_->width, touched_->width, 0.0f);
    touched_->is_touched[row] = 0;
  }
  touched_->list.clear();
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
           spec.name, joined(found->second.sizes(), ", "), joined(spec.shape, ", "));
    tensors_[i].detach().copy_(found->second);
  }
}

namespace {

constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kEpsilon = 1e-8f;

}  // namespace

Adam::Adam(Parameters& parameters, double learning_rate, double weight_decay, double averaging)
    : parameters_(parameters),
      learning_rate_(learning_rate),
      weight_decay_(weight_decay),
      averaging_(averaging),
      first_(parameters.values().size()),
      second_(parameters.values().size()) {
  if (averaging > 0) mean_.assign(parameters.values().begin(), parameters.values().end());
  if (const auto sparse = parameters.sparse()) seen_.resize(parameters.specs()[*sparse].shape[0]);
}

double Adam::kept(std::int64_t from, std::int64_t to) const { return std::exp(log_kept_[to] - log_kept_[from]); }

void Adam::update(std::int64_t begin, std::int64_t end, const Rates& rates) {
  float* const values = parameters_.values().data();
  const float* const gradients = parameters_.gradients().data();
  for (std::int64_t i = begin; i < end; ++i) {
    const float gradient = gradients[i] * rates.scale;
    first_[i] = kBeta1 * first_[i] + (1 - kBeta1) * gradient;
    second_[i] = kBeta2 * second_[i] + (1 - kBeta2) * gradient * gradient;
    values[i] = values[i] * rates.shrink - rates.rate * first_[i] / (std::sqrt(second_[i]) * rates.root + kEpsilon);
  }
  if (mean_.empty()) return;
  const auto keep = static_cast<float>(kept(steps_ - 1, steps_));
  for (std::int64_t i = begin; i < end; ++i) mean_[i] = keep * mean_[i] + (1 - keep) * values[i];
}

void Adam::catch_up(std::int64_t row, std::int64_t last, float shrink) {
  const std::int64_t missed = last - seen_[row];
  seen_[row] = last;
  if (missed <= 0) return;
  const std::size_t part = *parameters_.sparse();
  const std::int64_t width = parameters_.specs()[part].shape[1], begin = parameters_.begin(part) + row * width;
  const auto power = [&](float base) { return static_cast<float>(std::pow(double{base}, static_cast<double>(missed))); };
  const float first = power(kBeta1), second = power(kBeta2), decay = power(shrink);
  float* const values = parameters_.values().data();
  for (std::int64_t i = begin; i < begin + width; ++i) {
    first_[i] *= first;
    second_[i] *= second;
    values[i] *= decay;
  }
  if (mean_.empty()) return;
  const auto keep = static_cast<float>(kept(last - missed, last));
  for (std::int64_t i = begin; i < begin + width; ++i) mean_[i] = keep * mean_[i] + (1 - keep) * values[i];
}

void Adam::step(float scale) {
  ++steps_;
  if (!mean_.empty()) {
    const auto count = static_cast<double>(steps_);
    log_kept_.push_back(log_kept_.back() + std::log(std::min(averaging_, count / (count + 10))));
  }
  const double correction1 = 1 - std::pow(double{kBeta1}, steps_), correction2 = 1 - std::pow(double{kBeta2}, steps_);
  const Rates plain = {1, static_cast<float>(learning_rate_ / correction1), static_cast<float>(1 / std::sqrt(correction2)),
                       scale};
  Rates decaying = plain;
  decaying.shrink = static_cast<float>(1 - learning_rate_ * weight_decay_);
  const auto& specs = parameters_.specs();
  for (std::size_t part = 0; part < specs.size(); ++part) {
    const Rates& rates = specs[part].decay ? decaying : plain;
    const std::int64_t begin = parameters_.begin(part), end = parameters_.begin(part + 1);
    if (!specs[part].sparse) {
      at::parallel_for(begin, end, 1 << 16, [&](std::int64_t from, std::int64_t to) { update(from, to, rates); });
      continue;
    }
    const std::vector<std::int64_t> rows = parameters_.touched();
    const std::int64_t width = specs[part].shape[1];
    at::parallel_for(0, static_cast<std::int64_t>(rows.size()), 1024, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        catch_up(rows[i], steps_ - 1, rates.shrink);
        update(begin + rows[i] * width, begin + (rows[i] + 1) * width, rates);
        seen_[rows[i]] = steps_;
      }
    });
  }
  parameters_.clear_gradients();
}

void Adam::settle() {
  const auto part = parameters_.sparse();
  if (!part) return;
  const auto shrink = static_cast<float>(parameters_.specs()[*part].decay ? 1 - learning_rate_ * weight_decay_ : 1.0);
  for (std::int64_t row = 0; row < static_cast<std::int64_t>(seen_.size()); ++row) catch_up(row, steps_, shrink);
}

void Adam::swap_mean() {
  if (mean_.empty()) return;
  std::swap_ranges(mean_.begin(), mean_.end(), parameters_.values().begin());
}

}  // namespace thinkrec
