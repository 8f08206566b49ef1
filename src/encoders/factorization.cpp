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

namespace thinkrec {
namespace {

class FactorizationEncoder final : public Encoder {
 public:
  FactorizationEncoder(const EncoderConfig& config, const at::Tensor& items, const at::Tensor& prior, double ridge)
      : config_(config),
        items_(items.detach().clone()),
        prior_(prior.detach().clone()),
        ridge_(static_cast<float>(ridge)),  // what a checkpoint will hold
        fold_in_(items_, prior_, ridge_) {}

  const EncoderConfig& config() const override { return config_; }
  at::Tensor item_vectors() const override { return items_; }
  at::Tensor user_vectors(const Dataset& dataset, std::span<const std::int64_t> rows) const override {
    return fold_in_.vectors(dataset, moments_before(dataset, rows));
  }
  at::Tensor group_vectors(const Dataset& dataset) const override {
    return fold_in_.vectors(dataset, moments_before_test(dataset));
  }
  NamedTensors parameters() const override {
    return {{config_.kind + ".item", items_.clone()},
            {config_.kind + ".prior", prior_.clone()},
            {config_.kind + ".ridge", at::full({1}, ridge_, at::kFloat)}};
  }

 private:
  EncoderConfig config_;
  at::Tensor items_, prior_;
  double ridge_;
  FoldIn fold_in_;
};

std::vector<ParameterSpec> specs(const EncoderConfig& config, const Dataset& dataset) {
  const auto users = static_cast<std::int64_t>(dataset.users.size()), items = static_cast<std::int64_t>(dataset.items.size());
  constexpr double kDeviation = 0.1;
  return {{"nodes", {users + items, config.width}, 0, kDeviation, true},
          {"item_mean", {config.width}, 0, kDeviation, false},
          {"user_mean", {config.width}, 0, kDeviation, false}};
}

class FactorizationObjective final : public Objective {
 public:
  FactorizationObjective(const EncoderConfig& config, const Dataset& dataset)
      : config_(config),
        dataset_(dataset),
        users_(static_cast<std::int64_t>(dataset.users.size())),
        parameters_(specs(config, dataset), config.seed) {
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
  }

  Parameters& parameters() override { return parameters_; }
  std::int64_t samples() const override { return user_.numel(); }
  std::int64_t batch_samples() const override { return config_.batch; }
  std::int64_t targets(std::int64_t) const override { return 1; }

  at::Tensor loss(std::span<const std::int64_t> samples, std::int64_t) override {
    const at::Tensor chosen = at::tensor(at::ArrayRef<std::int64_t>(samples.data(), samples.size()));
    const at::Tensor nodes = node_vectors();
    const at::Tensor user = at::embedding(nodes, user_.index_select(0, chosen)) + parameters_["user_mean"];
    const at::Tensor item = at::embedding(nodes, item_.index_select(0, chosen)) + parameters_["item_mean"];
    return at::binary_cross_entropy_with_logits((user * item).sum(-1), label_.index_select(0, chosen), {}, {},
                                                at::Reduction::Sum);
  }

  std::vector<double> scores(std::span<const std::int64_t> rows) override {
    return encoder(config_.ridge)->scores(dataset_, rows);
  }

  /// With the parameters as they are now. A user of whom nothing is known is the mean train user.
  std::unique_ptr<Encoder> encoder(double ridge) const {
    const at::NoGradGuard no_grad;
    const at::Tensor nodes = node_vectors();
    const at::Tensor train_users = std::get<0>(at::_unique(user_));
    return std::make_unique<FactorizationEncoder>(config_,
                                                  nodes.narrow(0, users_, nodes.size(0) - users_) + parameters_["item_mean"],
                                                  nodes.index_select(0, train_users).mean(0) + parameters_["user_mean"], ridge);
  }

 private:
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
  at::Tensor user_, item_, label_;  ///< per train row; items counted after the users
};

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
  group.broadcast(std::as_writable_bytes(std::span(&ridge, 1)), 0);
  return objective.encoder(ridge);
}

std::unique_ptr<Encoder> restore_factorization(const EncoderConfig& config, const Dataset& dataset,
                                               const NamedTensors& parameters) {
  const auto items = static_cast<std::int64_t>(dataset.items.size());
  Parameters checked(
      {{config.kind + ".item", {items, config.width}}, {config.kind + ".prior", {config.width}}, {config.kind + ".ridge", {1}}},
      config.seed);
  checked.assign(parameters);
  double ridge = 0;
  for (const auto& [name, tensor] : parameters)
    if (name == config.kind + ".ridge") ridge = tensor.item<double>();
  if (!(ridge > 0) || !std::isfinite(ridge))
    fail(ExitCode::kBadData, "encoder checkpoint: {}.ridge is {}, not a positive number; encode again", config.kind, ridge);
  return std::make_unique<FactorizationEncoder>(config, checked[config.kind + ".item"], checked[config.kind + ".prior"], ridge);
}

}  // namespace thinkrec
