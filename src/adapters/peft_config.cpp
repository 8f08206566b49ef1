#include "adapters/peft_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/joined.h"
#include "io/bounded_json.h"
#include "io/printable.h"

namespace thinkrec {
namespace {

/// Settings that change what an adapter computes and that thinkrec's adapters do not have: a folder with one of them on is refused.
constexpr const char* kForeignSettings[] = {"use_dora",
                                            "use_qalora",
                                            "lora_bias",
                                            "bias",
                                            "fan_in_fan_out",
                                            "rank_pattern",
                                            "alpha_pattern",
                                            "layers_to_transform",
                                            "modules_to_save",
                                            "layer_replication",
                                            "target_parameters",
                                            "trainable_token_indices",
                                            "alora_invocation_tokens"};

/// As PEFT writes a setting that is off: null, false, "none" or something empty.
bool is_off(const nlohmann::json& value) {
  return value.is_null() || value == false || value == "none" || ((value.is_array() || value.is_object()) && value.empty());
}

/// The ways to begin that leave the base weights as they are. By the others (PiSSA, OLoRA, CorDA, LoftQ, ...) PEFT changes them
/// whenever it loads the folder, which thinkrec does not.
bool leaves_base(const nlohmann::json& init) {
  return init.is_null() || init.is_boolean() || init == "gaussian" || init == "eva";
}

}  // namespace

PeftConfig parse_peft_config(std::string_view text, const std::string& origin) {
  const auto json = parse_json_object(text, origin);
  if (json_member(json, "peft_type") != "LORA") fail(ExitCode::kBadData, "{}: peft_type is not LORA", origin);
  std::set<std::string> targets;
  if (const auto& listed = json_member(json, "target_modules"); listed.is_array()) {
    for (const auto& target : listed) targets.insert(target.is_string() ? printable(target.get<std::string>()) : "?");
  }
  if (targets != std::set<std::string>{"q_proj", "v_proj"}) {
    fail(ExitCode::kBadData, "{}: target_modules are [{}]; thinkrec's adapters are on q_proj and v_proj", origin,
         joined(targets, ", "));
  }
  for (const char* setting : kForeignSettings) {
    if (!is_off(json_member(json, setting)))
      fail(ExitCode::kBadData, "{}: '{}' is set, which thinkrec's adapters do not have", origin, setting);
  }
  const auto written = [](const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  if (const auto& init = json_member(json, "init_lora_weights"); !leaves_base(init)) {
    fail(ExitCode::kBadData,
         "{}: init_lora_weights is {}, by which PEFT changes the base weights as well; convert the adapter to plain LoRA "
         "(PEFT's save_pretrained with path_initial_model_for_weight_conversion)",
         origin, written(init));
  }
  const auto &rank = json_member(json, "r"), &alpha = json_member(json, "lora_alpha");
  if (!rank.is_number_integer() || !alpha.is_number()) fail(ExitCode::kBadData, "{}: 'r' or 'lora_alpha' is missing", origin);
  PeftConfig out;
  out.rank = rank.get<std::int64_t>();
  out.alpha = alpha.get<double>();
  if (json.contains("lora_dropout")) {
    const auto& dropout = json["lora_dropout"];
    if (!dropout.is_number() || dropout.get<double>() < 0 || dropout.get<double>() >= 1) {
      fail(ExitCode::kBadData, "{}: lora_dropout is {}, not a number from 0 to below 1", origin, written(dropout));
    }
    out.dropout = dropout.get<double>();
  }
  if (out.rank < 1 || out.rank > 64) fail(ExitCode::kBadData, "{}: r is {}, outside 1..64", origin, out.rank);
  const auto& stabilised = json_member(json, "use_rslora");
  if (!is_off(stabilised)) {
    if (stabilised != true) fail(ExitCode::kBadData, "{}: use_rslora is neither true nor false", origin);
    out.alpha *= std::sqrt(static_cast<double>(out.rank));
  }
  return out;
}

}  // namespace thinkrec
