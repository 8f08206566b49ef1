#include "encoders/encoder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"
#include "encoders/factorization.h"
#include "encoders/sasrec.h"

namespace thinkrec {
namespace {

void require(bool holds, const char* option, const std::string& asked) {
  if (!holds) fail(ExitCode::kConfig, "encoder.{} must be {}", option, asked);
}

void require_between(double value, double low, double high, const char* option) {
  if (!(value >= low && value <= high))
    fail(ExitCode::kConfig, "encoder.{} = {} is not between {} and {}", option, value, low, high);
}

}  // namespace

void check_encoder_config(const EncoderConfig& config) {
  require(config.kind == "mf" || config.kind == "lightgcn" || config.kind == "sasrec", "kind",
          "mf, lightgcn or sasrec, not " + config.kind);
  require_between(static_cast<double>(config.width), 1, 4096, "width");
  require_between(static_cast<double>(config.blocks), 0, 64, "blocks");
  require(config.heads >= 1 && config.width % config.heads == 0, "heads",
          fmt::format("a divisor of the width {}, not {}", config.width, config.heads));
  require_between(static_cast<double>(config.max_length), 1, 4096, "max_length");
  require_between(static_cast<double>(config.layers), 0, 64, "layers");
  require(!config.fold_in || config.kind != "sasrec" || config.warm_start, "fold_in", "false without warm_start");
  require(config.loss == "bce" || config.loss == "bpr" || config.loss == "softmax", "loss",
          "bce, bpr or softmax, not " + config.loss);
  require_between(config.recency, 0, 1e6, "recency");
  require_between(config.ridge, 1e-6, 1e9, "ridge");
  require_between(config.dropout, 0, 0.99, "dropout");
  require_between(config.learning_rate, 1e-12, 10, "learning_rate");
  require_between(config.weight_decay, 0, 1 / config.learning_rate, "weight_decay");
  require_between(config.averaging, 0, 0.999999, "averaging");
  require_between(static_cast<double>(config.batch), 1, 1e9, "batch");
  require_between(static_cast<double>(config.max_epochs), 1, 1e9, "max_epochs");
  require_between(static_cast<double>(config.patience), 1, 1e9, "patience");
}

std::vector<double> Encoder::scores(const Dataset& dataset, std::span<const std::int64_t> rows) const {
  const at::Tensor users = user_vectors(dataset, rows).contiguous(), items = item_vectors().contiguous();
  const std::int64_t width = users.size(1);
  std::vector<double> result(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* const user = users.const_data_ptr<float>() + i * width;
    const float* const item = items.const_data_ptr<float>() + dataset.item[rows[i]] * width;
    for (std::int64_t k = 0; k < width; ++k) result[i] += double{user[k]} * item[k];
  }
  return result;
}

std::unique_ptr<Encoder> train_encoder(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                       const ValidScore& valid_score, const EncoderReport& report) {
  check_encoder_config(config);
  for (Split split : {Split::kTrain, Split::kValid}) {
    if (dataset.rows(split).empty())
      fail(ExitCode::kBadData, "data set {}: no {} rows to fit an encoder with; prepare it with other split settings",
           dataset.name, kSplitNames[static_cast<std::size_t>(split)]);
  }
  const auto train = config.kind == "sasrec" ? train_sasrec : train_factorization;
  return train(config, dataset, group, valid_score, report);
}

std::unique_ptr<Encoder> restore_encoder(const EncoderConfig& config, const Dataset& dataset,
                                         const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  check_encoder_config(config);
  const auto restore = config.kind == "sasrec" ? restore_sasrec : restore_factorization;
  return restore(config, dataset, parameters);
}

}  // namespace thinkrec
