#include "encoders/sasrec.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.h"
#include "encoders/factorization.h"
#include "encoders/fit.h"
#include "encoders/moment.h"
#include "encoders/random.h"
#include "encoders/sasrec_net.h"
#include "encoders/windows.h"

namespace thinkrec {
namespace {

constexpr const char* kShare = "sasrec.share";  // of the network in the logit, beside a factorisation

WindowRule window_rule(const EncoderConfig& config) {
  return {config.max_length, config.all_positions ? std::max<std::int64_t>(1, config.max_length / 2) : 1};
}

/// Windows as the network reads them, all `length` items long; items at or after a window's `known` are padding.
struct Input {
  explicit Input(std::int64_t windows, std::int64_t length)
      : items(at::zeros({windows, length}, at::kLong)),
        labels(at::zeros({windows, length}, at::kLong)),
        cut(at::zeros({windows}, at::kLong)) {}

  void set(std::int64_t window, const Dataset& dataset, std::int32_t user, std::int64_t begin, std::int64_t known) {
    const std::int64_t first = dataset.user_begin[user] + begin, length = items.size(1);
    for (std::int64_t i = 0; i < known; ++i) {
      items.data_ptr<std::int64_t>()[window * length + i] = dataset.item[first + i];
      labels.data_ptr<std::int64_t>()[window * length + i] = dataset.label[first + i];
    }
    cut.data_ptr<std::int64_t>()[window] = begin > 0;
  }

  at::Tensor items, labels, cut;
};

class SasrecEncoder final : public Encoder {
 public:
  SasrecEncoder(const EncoderConfig& config, const Dataset& dataset)
      : config_(config), net_(config, static_cast<std::int64_t>(dataset.items.size())) {}

  const EncoderConfig& config() const override { return config_; }
  std::int64_t width() const override { return config_.width * (start_ ? 2 : 1); }
  SasrecNet& net() { return net_; }
  /// From now on the vectors hold those of `start` as well: share of the logit from the network, 1 - share from the start.
  void blend(std::unique_ptr<Encoder> start, double share) {
    start_ = std::move(start);
    share_ = static_cast<float>(share);
  }
  void set_share(double share) { share_ = static_cast<float>(share); }

  at::Tensor item_vectors() const override {
    const at::NoGradGuard no_grad;
    return start_ ? at::cat({net_.item_vectors(), start_->item_vectors()}, 1) : net_.item_vectors();
  }

  at::Tensor user_vectors(const Dataset& dataset, std::span<const std::int64_t> rows) const override {
    const at::Tensor own = vectors(dataset, moments_before(dataset, rows));
    return start_ ? at::cat({own * share_, start_->user_vectors(dataset, rows) * (1 - share_)}, 1) : own;
  }

  at::Tensor group_vectors(const Dataset& dataset) const override {
    const at::Tensor own = vectors(dataset, moments_before_test(dataset));
    return start_ ? at::cat({own * share_, start_->group_vectors(dataset) * (1 - share_)}, 1) : own;
  }

  NamedTensors parameters() const override {
    NamedTensors all = net_.parameters().copies();
    if (!start_) return all;
    all.emplace_back(kShare, at::full({1}, share_, at::kFloat));
    for (auto& named : start_->parameters()) all.push_back(std::move(named));
    return all;
  }

 private:
  /// One forward pass per window, all of the same shape, so that the bits do not depend on what else was asked.
  at::Tensor vectors(const Dataset& dataset, std::span<const Moment> moments) const {
    const WindowRule rule = window_rule(config_);
    const std::vector<std::int64_t> order = order_of_moments(moments);
    std::vector<std::size_t> window_begin;  // offsets into order
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Moment &now = moments[order[i]], &before = moments[order[i == 0 ? 0 : i - 1]];
      if (i == 0 || now.user != before.user || rule.begin(now.place) != rule.begin(before.place)) window_begin.push_back(i);
    }
    window_begin.push_back(order.size());
    const at::Tensor result = at::empty({static_cast<std::int64_t>(moments.size()), config_.width}, at::kFloat);
    const auto windows = static_cast<std::int64_t>(window_begin.size()) - 1;
    // Two tasks at least: inside a parallel region the operators keep to one thread each, and so to one order of sums.
    at::parallel_for(0, std::max<std::int64_t>(2, windows), 1, [&](std::int64_t from, std::int64_t to) {
      const at::NoGradGuard no_grad;
      for (std::int64_t window = from; window < std::min(to, windows); ++window) {
        const Moment& last = moments[order[window_begin[window + 1] - 1]];
        const std::int64_t begin = rule.begin(last.place);
        Input input(1, rule.length());
        input.set(0, dataset, last.user, begin, last.place - begin);
        const at::Tensor states = net_.states(input.items, input.labels, input.cut);
        for (std::size_t i = window_begin[window]; i < window_begin[window + 1]; ++i) {
          std::memcpy(result.data_ptr<float>() + order[i] * config_.width,
                      states.data_ptr<float>() + (moments[order[i]].place - begin) * config_.width,
                      config_.width * sizeof(float));
        }
      }
    });
    return result;
  }

  EncoderConfig config_;
  SasrecNet net_;
  std::unique_ptr<Encoder> start_;
  float share_ = 1;  // as a checkpoint holds it
};

/// The factorisation that the network starts from.
EncoderConfig start_config(const EncoderConfig& config) {
  EncoderConfig factors = config;
  factors.kind = config.fold_in ? "lightgcn" : "mf";
  factors.learning_rate = 1e-3;
  factors.weight_decay = config.fold_in ? 0.1 : 1;
  factors.loss = "bce";
  factors.recency = 0;
  factors.biases = true;
  return factors;
}

/// The items and the mean user of a quick matrix factorisation: alone, the network fits its users before it knows its items.
std::unique_ptr<Encoder> warm_start(SasrecNet& net, const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                    const ValidScore& valid_score, const EncoderReport& report) {
  const EncoderConfig factors = start_config(config);
  auto start = train_factorization(factors, dataset, group, valid_score, [&](EncoderProgress progress) {
    progress.warm_start = true;
    if (report) report(progress);
  });
  for (const auto& [name, tensor] : start->parameters())
    if (name == factors.kind + ".prior") net.start_from(start->item_vectors(), tensor);
  return start;
}

class SasrecObjective final : public Objective {
 public:
  SasrecObjective(SasrecEncoder& encoder, const Dataset& dataset)
      : encoder_(encoder),
        dataset_(dataset),
        windows_(train_windows(dataset, window_rule(encoder.config()))),
        is_train_(dataset.interactions()) {
    for (std::int64_t row : dataset.rows(Split::kTrain)) is_train_[row] = 1;
  }

  Parameters& parameters() override { return encoder_.net().parameters(); }
  std::int64_t samples() const override { return static_cast<std::int64_t>(windows_.size()); }
  std::int64_t targets(std::int64_t sample) const override { return windows_[sample].targets; }
  std::int64_t batch_samples() const override {
    const auto rows = static_cast<std::int64_t>(dataset_.rows(Split::kTrain).size());
    return std::max<std::int64_t>(1, encoder_.config().batch * samples() / std::max<std::int64_t>(1, rows));
  }

  at::Tensor loss(std::span<const std::int64_t> samples, std::int64_t step) override {
    const auto count = static_cast<std::int64_t>(samples.size());
    std::int64_t length = 0;
    for (std::int64_t sample : samples) length = std::max(length, windows_[sample].last - windows_[sample].begin);
    Input input(count, length);
    const at::Tensor targets = at::zeros({count, length + 1}, at::kLong), labels = at::zeros({count, length + 1}),
                     weights = at::zeros({count, length + 1});
    for (std::int64_t i = 0; i < count; ++i) {
      const Window& window = windows_[samples[i]];
      input.set(i, dataset_, window.user, window.begin, window.last - window.begin);
      for (std::int64_t place = window.first; place <= window.last; ++place) {
        const std::int64_t row = dataset_.user_begin[window.user] + place, at = i * (length + 1) + place - window.begin;
        targets.data_ptr<std::int64_t>()[at] = dataset_.item[row];
        labels.data_ptr<float>()[at] = dataset_.label[row];
        weights.data_ptr<float>()[at] = is_train_[row];
      }
    }
    const EncoderConfig& config = encoder_.config();
    const WindowDropout dropout{config.dropout, random_key({config.seed, static_cast<std::uint64_t>(step)}), samples};
    const at::Tensor states = encoder_.net().states(input.items, input.labels, input.cut, dropout);
    const at::Tensor logits = (states * encoder_.net().item_vectors(targets)).sum(-1);
    return at::binary_cross_entropy_with_logits(logits, labels, weights, {}, at::Reduction::Sum);
  }

  std::vector<double> scores(std::span<const std::int64_t> rows) override { return encoder_.scores(dataset_, rows); }

 private:
  SasrecEncoder& encoder_;
  const Dataset& dataset_;
  std::vector<Window> windows_;
  std::vector<std::uint8_t> is_train_;
};

}  // namespace

std::unique_ptr<Encoder> train_sasrec(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                      const ValidScore& valid_score, const EncoderReport& report) {
  auto encoder = std::make_unique<SasrecEncoder>(config, dataset);
  std::unique_ptr<Encoder> start;
  if (config.warm_start) start = warm_start(encoder->net(), config, dataset, group, valid_score, report);
  SasrecObjective objective(*encoder, dataset);
  fit(objective, config, dataset, group, valid_score, report);
  if (!config.fold_in) return encoder;
  encoder->blend(std::move(start), 1);
  double share = 1;
  if (group.rank() == 0) {
    double best = -std::numeric_limits<double>::infinity();
    for (const double candidate : {1.0, 0.75, 0.5, 0.25, 0.1}) {
      encoder->set_share(candidate);
      const double score = valid_score(encoder->scores(dataset, dataset.rows(Split::kValid)));
      if (score > best) best = score, share = candidate;
    }
  }
  group.broadcast(std::as_writable_bytes(std::span(&share, 1)), 0);
  encoder->set_share(share);
  return encoder;
}

std::unique_ptr<Encoder> restore_sasrec(const EncoderConfig& config, const Dataset& dataset, const NamedTensors& parameters) {
  auto encoder = std::make_unique<SasrecEncoder>(config, dataset);
  if (!config.fold_in) {
    encoder->net().parameters().assign(parameters);
    return encoder;
  }
  const EncoderConfig factors = start_config(config);
  NamedTensors own, of_start;
  double share = -1;
  for (const auto& named : parameters) {
    if (named.first == kShare) {
      share = named.second.numel() == 1 ? named.second.item<double>() : -1;
    } else {
      (named.first.starts_with(factors.kind + ".") ? of_start : own).push_back(named);
    }
  }
  if (!(share >= 0 && share <= 1))
    fail(ExitCode::kBadData, "encoder checkpoint: {} is missing or not from 0 to 1; encode again", kShare);
  encoder->net().parameters().assign(own);
  encoder->blend(restore_factorization(factors, dataset, of_start), share);
  return encoder;
}

}  // namespace thinkrec
