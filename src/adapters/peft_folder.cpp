#include "adapters/peft_folder.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/joined.h"
#include "io/file.h"
#include "io/safetensors.h"

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

PeftAdapter load_peft_adapter(const std::string& folder, const LlamaConfig& model) {
  namespace fs = std::filesystem;
  const std::string config_path = (fs::path(folder) / "adapter_config.json").string();
  const auto json = nlohmann::json::parse(read_file(config_path, 1 << 20), nullptr, false);
  if (json.is_discarded() || !json.is_object()) fail(ExitCode::kBadData, "{}: not a JSON object", config_path);
  if (!json.contains("peft_type") || json["peft_type"] != "LORA")
    fail(ExitCode::kBadData, "{}: peft_type is not LORA", config_path);
  std::set<std::string> targets;
  if (json.contains("target_modules") && json["target_modules"].is_array()) {
    for (const auto& target : json["target_modules"]) targets.insert(target.is_string() ? target.get<std::string>() : "?");
  }
  if (targets != std::set<std::string>{"q_proj", "v_proj"}) {
    fail(ExitCode::kBadData, "{}: target_modules are [{}]; thinkrec's adapters are on q_proj and v_proj", config_path,
         joined(targets, ", "));
  }
  for (const char* setting : kForeignSettings) {
    if (json.contains(setting) && !is_off(json[setting])) {
      fail(ExitCode::kBadData, "{}: '{}' is set, which thinkrec's adapters do not have", config_path, setting);
    }
  }
  if (json.contains("init_lora_weights") && !leaves_base(json["init_lora_weights"])) {
    fail(ExitCode::kBadData,
         "{}: init_lora_weights is {}, by which PEFT changes the base weights as well; convert the adapter to plain LoRA "
         "(PEFT's save_pretrained with path_initial_model_for_weight_conversion)",
         config_path, json["init_lora_weights"].dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  if (!json.contains("r") || !json["r"].is_number_integer() || !json.contains("lora_alpha") || !json["lora_alpha"].is_number()) {
    fail(ExitCode::kBadData, "{}: 'r' or 'lora_alpha' is missing", config_path);
  }
  PeftAdapter out;
  out.config.lora_rank = json["r"].get<std::int64_t>();
  out.config.alpha = json["lora_alpha"].get<double>();
  if (json.contains("lora_dropout")) {
    const auto& dropout = json["lora_dropout"];
    if (!dropout.is_number() || dropout.get<double>() < 0 || dropout.get<double>() >= 1) {
      fail(ExitCode::kBadData, "{}: lora_dropout is {}, not a number from 0 to below 1", config_path, dropout.dump());
    }
    out.config.dropout = dropout.get<double>();
  } else {
    out.config.dropout = 0;
  }
  if (out.config.lora_rank < 1 || out.config.lora_rank > 64) {
    fail(ExitCode::kBadData, "{}: r is {}, outside 1..64", config_path, out.config.lora_rank);
  }
  const bool stabilised = json.contains("use_rslora") && !is_off(json["use_rslora"]);
  if (stabilised && json["use_rslora"] != true) fail(ExitCode::kBadData, "{}: use_rslora is neither true nor false", config_path);
  if (stabilised) out.config.alpha *= std::sqrt(static_cast<double>(out.config.lora_rank));
  out.adapter = LoraAdapter(model, out.config, 0);
  const SafetensorsFile file((fs::path(folder) / "adapter_model.safetensors").string());
  NamedTensors values;
  constexpr std::string_view kPrefix = "base_model.model.model.", kSuffix = ".weight";
  for (const auto& entry : file.entries()) {
    const std::string& name = entry.name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
      fail(ExitCode::kBadData, "{}: tensor '{}' is no LoRA factor of a Llama model", file.path(), name);
    }
    at::Tensor value = at::empty(entry.shape, at::kFloat);
    file.read(entry, value.mutable_data_ptr<float>());
    values.emplace_back(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()), value);
  }
  if (values.size() != out.adapter.named().size()) {
    fail(ExitCode::kBadData, "{}: {} tensors, an adapter on q_proj and v_proj of {} layers has {}", file.path(), values.size(),
         model.layers, out.adapter.named().size());
  }
  out.adapter.load(values, file.path());
  return out;
}

std::string peft_folder_hash(const std::string& folder) {
  const std::filesystem::path place(folder);
  return sha256_hex(sha256_file((place / "adapter_config.json").string()) +
                    sha256_file((place / "adapter_model.safetensors").string()));
}

void save_peft_adapter(const std::string& folder, const LoraAdapter& adapter, const std::string& base) {
  namespace fs = std::filesystem;
  const at::NoGradGuard no_grad;
  std::int64_t rank = 0;
  for (std::int64_t i = 0; i < adapter.layer_count(); ++i)
    rank = std::max({rank, adapter.layer(i).q.a.size(0), adapter.layer(i).v.a.size(0)});
  const auto filled = [&](const at::Tensor& tensor, std::int64_t dimension) {
    std::vector<std::int64_t> missing = tensor.sizes().vec();
    missing[static_cast<std::size_t>(dimension)] = rank - tensor.size(dimension);
    return at::cat({tensor.detach().to(at::kCPU), at::zeros(missing, at::kFloat)}, dimension).contiguous();
  };
  std::vector<at::Tensor> held;
  std::vector<SafetensorsTensor> tensors;
  const auto add = [&](std::int64_t layer, const char* projection, const ops::LoraFactors& factors, double scale) {
    for (const bool is_a : {true, false}) {
      held.push_back(is_a ? filled(factors.a, 0) : filled(factors.b * scale, 1));
      tensors.push_back(
          {fmt::format("base_model.model.model.layers.{}.self_attn.{}.lora_{}.weight", layer, projection, is_a ? "A" : "B"),
           held.back().sizes().vec(), held.back().const_data_ptr<float>()});
    }
  };
  for (std::int64_t i = 0; i < adapter.layer_count(); ++i) {
    add(i, "q_proj", adapter.layer(i).q, adapter.layer(i).scale);
    add(i, "v_proj", adapter.layer(i).v, adapter.layer(i).scale);
  }
  make_folder(folder);
  write_file_atomic((fs::path(folder) / "adapter_model.safetensors").string(), encode_safetensors(tensors, {{"format", "pt"}}));
  const nlohmann::json config = {
      {"peft_type", "LORA"},     {"task_type", "CAUSAL_LM"}, {"base_model_name_or_path", base},        {"r", rank},
      {"lora_alpha", rank},      {"lora_dropout", 0.0},      {"target_modules", {"q_proj", "v_proj"}}, {"bias", "none"},
      {"fan_in_fan_out", false}, {"inference_mode", true}};
  write_file_atomic((fs::path(folder) / "adapter_config.json").string(), config.dump(2) + "\n");
}

}  // namespace thinkrec
