#include "encoders/factorization.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <optional>
#include <vector>

#include "core/error.h"
#include "encoders/fit.h"
#include "encoders/fold_in.h"
#include "encoders/graph.h"
#include "encoders/moment.h"
#include "encoders/random.h"

namespace thinkrec {
namespace {

constexpr double kMoodPrior = 8;     // imagined curvature that draws a short history's mood to 0
constexpr std::int64_t kOthers = 4;  // of the softmax loss

/// sigmoid(x_i . g) of each item, summed in order, so that where the tensors lie does not show in the bits.
std::vector<double> expected_likes(const at::Tensor& items, const at::Tensor& prior) {
  const float *item = items.const_data_ptr<float>(), *g = prior.const_data_ptr<float>();
  std::vector<double> expected(static_cast<std::size_t>(items.size(0)));
  for (double& p : expected) {
    double logit = 0;
    for (std::int64_t k = 0; k < prior.numel(); ++k) logit += double{item[k]} * g[k];
    p = 1 / (1 + std::exp(-logit));
    item += prior.numel();
  }
  return expected;
}

class FactorizationEncoder final : public Encoder {
 public:
  FactorizationEncoder(const EncoderConfig& config, const at::Tensor& items, const at::Tensor& prior, double ridge,
                       double strength = 0)
      : config_(config),
        items_(items.detach().clone()),
        prior_(prior.detach().clone()),
        ridge_(static_cast<float>(ridge)),
        strength_(static_cast<float>(strength)),
        fold_in_(items_, prior_, ridge_),
        expected_(expected_likes(items_.contiguous(), prior_.contiguous())) {}

  const EncoderConfig& config() const override { return config_; }
  std::int64_t width() const override { return config_.width + (has_mood() ? 1 : 0); }
  at::Tensor item_vectors() const override { return has_mood() ? at::cat({items_, at::ones({items_.size(0), 1})}, 1) : items_; }
  at::Tensor user_vectors(const Dataset& dataset, std::span<const std::int64_t> rows) const override {
    return vectors(dataset, moments_before(dataset, rows));
  }
  at::Tensor group_vectors(const Dataset& dataset) const override { return vectors(dataset, moments_before_test(dataset)); }
  NamedTensors parameters() const override {
    NamedTensors all = {{config_.kind + ".item", items_.clone()},
                        {config_.kind + ".prior", prior_.clone()},
                        {config_.kind + ".ridge", at::full({1}, ridge_, at::kFloat)}};
    if (has_mood()) all.emplace_back(config_.kind + ".recency_strength", at::full({1}, strength_, at::kFloat));
    return all;
  }

  /// [moments] fp32, before the strength: sum_j f^age (y_j - p_j) / (sum_j f^age p_j (1 - p_j) + prior), p_j what is expected of anyone.
  at::Tensor moods(const Dataset& dataset, std::span<const Moment> moments) const {
    const double keep = std::exp2(-1 / config_.recency);
    const std::vector<std::int64_t> order = order_of_moments(moments);
    const at::Tensor result = at::empty({static_cast<std::int64_t>(moments.size())}, at::kFloat);
    double sum = 0, curvature = 0;
    std::int64_t known = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Moment& now = moments[order[i]];
      if (i == 0 || now.user != moments[order[i - 1]].user) sum = curvature = 0, known = 0;
      for (; known < now.place; ++known) {
        const std::int64_t row = dataset.user_begin[now.user] + known;
        const double p = expected_[dataset.item[row]];
        sum = keep * sum + dataset.label[row] - p;
        curvature = keep * curvature + p * (1 - p);
      }
      result.mutable_data_ptr<float>()[order[i]] = static_cast<float>(sum / (curvature + kMoodPrior));
    }
    return result;
  }

 private:
  bool has_mood() const { return config_.recency > 0; }
  at::Tensor vectors(const Dataset& dataset, std::span<const Moment> moments) const {
    const at::Tensor folded = fold_in_.vectors(dataset, moments);
    return has_mood() ? at::cat({folded, (moods(dataset, moments) * strength_).unsqueeze(1)}, 1) : folded;
  }

  EncoderConfig config_;
  at::Tensor items_, prior_;
  float ridge_, strength_;  // as a checkpoint holds them
  FoldIn fold_in_;
  std::vector<double> expected_;  // [items] like rate for a user of whom nothing is known
};

std::vector<ParameterSpec> specs(const EncoderConfig& config, const Dataset& dataset) {
  const auto users = static_cast<std::int64_t>(dataset.users.size()), items = static_cast<std::int64_t>(dataset.items.size());
  constexpr double kDeviation = 0.1;
  // A propagation spreads the gradient over all nodes.
  std::vector<ParameterSpec> all = {{"nodes", {users + items, config.width}, 0, kDeviation, true, config.kind == "mf"}};
  if (config.biases) {
    all.push_back({"item_mean", {config.width}, 0, kDeviation, false});
    all.push_back({"user_mean", {config.width}, 0, kDeviation, false});
  }
  return all;
}

class FactorizationObjective final : public Objective {
 public:
  FactorizationObjective(const EncoderConfig& config, const Dataset& dataset)
      : config_(config),
        dataset_(dataset),
        users_(static_cast<std::int64_t>(dataset.users.size())),
        parameters_(specs(config, dataset), config.seed),
        rows_of_user_(dataset.users.size() * 2) {
    if (config.kind == "lightgcn") graph_.emplace(dataset);
    const auto& rows = dataset.rows(Split::kTrain);
    std::vector<std::int64_t> user(rows.size()), item(rows.size());
    std::vector<float> label(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      user[i] = dataset.user[rows[i]];
      item[i] = users_ + dataset.item[rows[i]];
      label[i] = dataset.label[rows[i]];
    }
    user_ = at::tensor(user);
    item_ = at::tensor(item);
    label_ = at::tensor(label);
    if (config.loss == "bce") return;
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows_of_user_[static_cast<std::size_t>(user[i]) * 2 + (label[i] != 0 ? 1 : 0)].push_back(static_cast<std::int64_t>(i));
  }

  Parameters& parameters() override { return parameters_; }
  std::int64_t samples() const override { return user_.numel(); }
  std::int64_t batch_samples() const override { return config_.batch; }
  std::int64_t targets(std::int64_t) const override { return 1; }

  at::Tensor loss(std::span<const std::int64_t> samples, std::int64_t step) override {
    const at::Tensor chosen = at::tensor(at::ArrayRef<std::int64_t>(samples.data(), samples.size()));
    const at::Tensor propagated = graph_ ? node_vectors() : at::Tensor();
    const auto vectors = [&](const at::Tensor& nodes) {
      return graph_ ? at::embedding(propagated, nodes) : parameters_.rows("nodes", nodes);
    };
    const at::Tensor user = vectors(user_.index_select(0, chosen)) + mean("user_mean");
    const auto logits_of = [&](const at::Tensor& rows) {
      return (user * (vectors(item_.index_select(0, rows)) + mean("item_mean"))).sum(-1);
    };
    const at::Tensor own = logits_of(chosen), label = label_.index_select(0, chosen);
    if (config_.loss == "bce") return at::binary_cross_entropy_with_logits(own, label, {}, {}, at::Reduction::Sum);
    // Against interactions of the same user with the other label; a row whose user has none teaches nothing. For a disliked row the
    // signs turn: it should score below the others.
    const at::Tensor sign = label * 2 - 1;
    std::vector<at::Tensor> differences;  // of the logits: other less own, signed
    at::Tensor has_other;
    for (std::int64_t k = 0; k < (config_.loss == "bpr" ? 1 : kOthers); ++k) {
      const auto [others, found] = draw_others(samples, step, k);
      differences.push_back((logits_of(others) - own) * sign);
      has_other = found;
    }
    const at::Tensor all = at::stack(differences, 1);
    const at::Tensor losses =
        config_.loss == "bpr" ? at::softplus(all.squeeze(1)) : at::logsumexp(at::cat({at::zeros({all.size(0), 1}), all}, 1), 1);
    return (losses * has_other).sum();
  }

  std::vector<double> scores(std::span<const std::int64_t> rows) override {
    return encoder(config_.ridge)->scores(dataset_, rows);
  }

  /// With the parameters as they are now. A user of whom nothing is known is the mean train user.
  std::unique_ptr<FactorizationEncoder> encoder(double ridge, double strength = 0) const {
    const at::NoGradGuard no_grad;
    const at::Tensor nodes = node_vectors();
    const at::Tensor train_users = std::get<0>(at::_unique(user_));
    return std::make_unique<FactorizationEncoder>(config_, nodes.narrow(0, users_, nodes.size(0) - users_) + mean("item_mean"),
                                                  nodes.index_select(0, train_users).mean(0) + mean("user_mean"), ridge,
                                                  strength);
  }

 private:
  /// A shared vector, or 0 without biases.
  at::Tensor mean(const char* name) const { return config_.biases ? parameters_[name] : at::zeros({config_.width}); }

  /// For each sample a train row of its user with the other label, and whether there is one (else the sample itself). A function of
  /// (seed, step, sample, k).
  std::pair<at::Tensor, at::Tensor> draw_others(std::span<const std::int64_t> samples, std::int64_t step, std::int64_t k) const {
    std::vector<std::int64_t> others;
    std::vector<float> found;
    for (const std::int64_t sample : samples) {
      const auto user = static_cast<std::size_t>(user_.const_data_ptr<std::int64_t>()[sample]);
      const bool liked = label_.const_data_ptr<float>()[sample] != 0;
      const auto& pool = rows_of_user_[user * 2 + (liked ? 0 : 1)];
      const std::uint64_t draw = random_key(
          {config_.seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(k)});
      others.push_back(pool.empty() ? sample : pool[static_cast<std::size_t>(draw % pool.size())]);
      found.push_back(pool.empty() ? 0.0F : 1.0F);
    }
    return {at::tensor(others), at::tensor(found)};
  }

  /// [users + items, width]
  at::Tensor node_vectors() const {
    at::Tensor layer = parameters_["nodes"];
    if (!graph_) return layer;
    at::Tensor sum = layer;
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      layer = graph_->propagate(layer);
      sum = sum + layer;
    }
    return sum / static_cast<double>(config_.layers + 1);
  }

  EncoderConfig config_;
  const Dataset& dataset_;
  std::int64_t users_;
  Parameters parameters_;
  std::optional<BipartiteGraph> graph_;
  at::Tensor user_, item_, label_;                       ///< per train row; items counted after the users
  std::vector<std::vector<std::int64_t>> rows_of_user_;  ///< [2 user + label] train rows, for losses that compare
};

/// The strength of the mood that makes the valid labels likeliest: Newton's method on one coefficient.
double fit_strength(const FactorizationEncoder& encoder, const Dataset& dataset) {
  const auto& rows = dataset.rows(Split::kValid);
  const std::vector<double> logits = encoder.scores(dataset, rows);  // with strength 0
  const at::Tensor moods = encoder.moods(dataset, moments_before(dataset, rows));
  const float* mood = moods.const_data_ptr<float>();
  double strength = 0;
  for (int round = 0; round < 50; ++round) {
    double slope = 0, curvature = 1e-6;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double p = 1 / (1 + std::exp(-(logits[i] + strength * mood[i])));
      slope += mood[i] * (static_cast<double>(dataset.label[rows[i]]) - p);
      curvature += static_cast<double>(mood[i]) * mood[i] * p * (1 - p);
    }
    const double change = std::clamp(slope / curvature, -1.0, 1.0);
    strength = std::clamp(strength + change, 0.0, 100.0);
    if (std::abs(change) < 1e-9) break;
  }
  return strength;
}

}  // namespace

std::unique_ptr<Encoder> train_factorization(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                             const ValidScore& valid_score, const EncoderReport& report) {
  FactorizationObjective objective(config, dataset);
  fit(objective, config, dataset, group, valid_score, report);
  double ridge = config.ridge;
  if (group.rank() == 0) {
    const auto judge = [&](double candidate) {
      return valid_score(objective.encoder(candidate)->scores(dataset, dataset.rows(Split::kValid)));
    };
    double best = judge(ridge);
    for (double factor : {0.1, 1.0 / 3, 3.0, 10.0}) {
      if (const double score = judge(config.ridge * factor); score > best) {
        best = score;
        ridge = config.ridge * factor;
      }
    }
  }
  double strength = 0;
  if (group.rank() == 0 && config.recency > 0) strength = fit_strength(*objective.encoder(ridge), dataset);
  group.broadcast(std::as_writable_bytes(std::span(&ridge, 1)), 0);
  group.broadcast(std::as_writable_bytes(std::span(&strength, 1)), 0);
  return objective.encoder(ridge, strength);
}

std::unique_ptr<Encoder> restore_factorization(const EncoderConfig& config, const Dataset& dataset,
                                               const NamedTensors& parameters) {
  const auto items = static_cast<std::int64_t>(dataset.items.size());
  std::vector<ParameterSpec> expected = {
      {config.kind + ".item", {items, config.width}}, {config.kind + ".prior", {config.width}}, {config.kind + ".ridge", {1}}};
  if (config.recency > 0) expected.push_back({config.kind + ".recency_strength", {1}});
  Parameters checked(expected, config.seed);
  checked.assign(parameters);
  const double ridge = checked[config.kind + ".ridge"].item<double>();
  if (!(ridge > 0) || !std::isfinite(ridge))
    fail(ExitCode::kBadData, "encoder checkpoint: {}.ridge is {}, not a positive number; encode again", config.kind, ridge);
  const double strength = config.recency > 0 ? checked[config.kind + ".recency_strength"].item<double>() : 0;
  return std::make_unique<FactorizationEncoder>(config, checked[config.kind + ".item"], checked[config.kind + ".prior"], ridge,
                                                strength);
}

}  // namespace thinkrec
