#include "encoders/encoder_config.h"

#include "core/error.h"
#include "core/joined.h"

namespace thinkrec {
namespace {

class Errors {
 public:
  void require(bool holds, const char* option, const std::string& asked) {
    if (!holds) lines.push_back(fmt::format("encoder.{} must be {}", option, asked));
  }
  void require_between(double value, double low, double high, const char* option) {
    if (!(value >= low && value <= high)) lines.push_back(fmt::format("encoder.{} = {} is not between {} and {}", option, value, low, high));
  }
  std::vector<std::string> lines;
};

}  // namespace

std::vector<std::string> encoder_config_errors(const EncoderConfig& config) {
  Errors errors;
  errors.require(config.kind == "mf" || config.kind == "lightgcn" || config.kind == "sasrec", "kind",
                 "mf, lightgcn or sasrec, not " + config.kind);
  errors.require_between(static_cast<double>(config.width), 1, 4096, "width");
  errors.require_between(static_cast<double>(config.blocks), 0, 64, "blocks");
  errors.require(config.heads >= 1 && config.width % config.heads == 0, "heads",
                 fmt::format("a divisor of encoder.width {}, not {}", config.width, config.heads));
  errors.require_between(static_cast<double>(config.max_length), 1, 4096, "max_length");
  errors.require_between(static_cast<double>(config.layers), 0, 64, "layers");
  errors.require(!config.fold_in || config.kind != "sasrec" || config.warm_start, "fold_in", "false without encoder.warm_start");
  errors.require(config.loss == "bce" || config.loss == "bpr" || config.loss == "softmax", "loss",
                 "bce, bpr or softmax, not " + config.loss);
  errors.require_between(config.recency, 0, 1e6, "recency");
  errors.require_between(config.ridge, 1e-6, 1e9, "ridge");
  errors.require_between(config.dropout, 0, 0.99, "dropout");
  errors.require_between(config.learning_rate, 1e-12, 10, "learning_rate");
  errors.require_between(config.weight_decay, 0, 1 / config.learning_rate, "weight_decay");
  errors.require_between(config.averaging, 0, 0.999999, "averaging");
  errors.require_between(static_cast<double>(config.batch), 1, 1e9, "batch");
  errors.require_between(static_cast<double>(config.max_epochs), 1, 1e9, "max_epochs");
  errors.require_between(static_cast<double>(config.patience), 1, 1e9, "patience");
  return errors.lines;
}

void check_encoder_config(const EncoderConfig& config) {
  const std::vector<std::string> errors = encoder_config_errors(config);
  if (!errors.empty()) fail(ExitCode::kConfig, "{}", joined(errors, "\n"));
}

}  // namespace thinkrec
