#include "adapters/peft_folder.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "adapters/peft_config.h"
#include "core/error.h"
#include "io/file.h"
#include "io/safetensors.h"

namespace thinkrec {

PeftAdapter load_peft_adapter(const std::string& folder, const LlamaConfig& model) {
  namespace fs = std::filesystem;
  const std::string config_path = (fs::path(folder) / "adapter_config.json").string();
  const PeftConfig config = parse_peft_config(read_file(config_path, 1 << 20), config_path);
  PeftAdapter out;
  out.config = {config.rank, config.alpha, config.dropout};
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
