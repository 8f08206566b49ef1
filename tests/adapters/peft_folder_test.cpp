// PEFT folders made here by hand; one that PEFT itself wrote is read in lora_oracle.py.
#include "adapters/peft_folder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/io_testing.h"
#include "io/safetensors.h"
#include "support/tensors.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using Json = nlohmann::json;

struct Folder {
  LlamaConfig model = testing::tiny_config();
  std::map<std::string, at::Tensor> tensors;  // under the names in the file
  Json config = {
      {"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 12}, {"lora_dropout", 0.25}, {"target_modules", {"v_proj", "q_proj"}}};
  testing::TempFolder disk;

  Folder() {
    std::uint64_t seed = 0;
    for (const auto& [name, tensor] : LoraAdapter(model, {.lora_rank = 4}, 1).named()) {
      tensors["base_model.model.model." + name + ".weight"] = testing::normal_tensor(tensor.sizes(), ++seed);
    }
  }
  PeftAdapter load() const {
    disk.put("adapter_config.json", config.dump());
    std::vector<SafetensorsTensor> list;
    for (const auto& [name, tensor] : tensors) list.push_back({name, tensor.sizes().vec(), tensor.const_data_ptr<float>()});
    disk.put("adapter_model.safetensors", encode_safetensors(list, {}));
    return load_peft_adapter(disk.path().string(), model);
  }
  void refused(const std::string& part) const {
    expect_error(ExitCode::kBadData, part, [&] { load(); });
  }
  void refused(const char* key, const Json& value, const std::string& part) {
    SCOPED_TRACE(std::string(key) + " = " + value.dump());
    const Json kept = config;
    config[key] = value;
    refused(part);
    refused("adapter_config.json");
    config = kept;
  }
};

TEST(PeftFolder, IsReadBack) {
  const Folder folder;
  const PeftAdapter read = folder.load();
  EXPECT_EQ(read.config.lora_rank, 4);
  EXPECT_EQ(read.config.alpha, 12);
  EXPECT_EQ(read.config.dropout, 0.25);
  EXPECT_EQ(read.adapter.layer(0).scale, 3);
  for (const auto& [name, tensor] : read.adapter.named()) {
    EXPECT_TRUE(tensor.equal(folder.tensors.at("base_model.model.model." + name + ".weight"))) << name;
  }
}

TEST(PeftFolder, RankStabilisedScale) {
  Folder folder;
  folder.config["use_rslora"] = true;
  EXPECT_DOUBLE_EQ(folder.load().adapter.layer(2).scale, 12 / std::sqrt(4.0));
}

TEST(PeftFolder, RefusesOtherTargets) {
  Folder folder;
  folder.refused("target_modules", {"q_proj", "v_proj", "k_proj"}, "target_modules are [k_proj, q_proj, v_proj]");
  folder.refused("target_modules", {"q_proj"}, "target_modules are [q_proj]");
  folder.refused("target_modules", {"q_proj", 3}, "target_modules");
  folder.refused("target_modules", "all-linear", "target_modules");
  folder.refused("target_modules", Json::array(), "target_modules");
  folder.config.erase("target_modules");
  folder.refused("target_modules");
}

TEST(PeftFolder, RefusesOtherKindsAndFieldsOfAnotherType) {
  Folder folder;
  folder.refused("peft_type", "IA3", "LORA");
  folder.refused("peft_type", 3, "LORA");
  folder.refused("r", "4", "'r' or 'lora_alpha'");
  folder.refused("r", 4.5, "'r' or 'lora_alpha'");
  folder.refused("r", 0, "outside 1..64");
  folder.refused("r", -4, "outside 1..64");
  folder.refused("r", 65, "outside 1..64");
  folder.refused("lora_alpha", nullptr, "'r' or 'lora_alpha'");
  folder.refused("lora_dropout", "none", "lora_dropout");
  folder.refused("lora_dropout", 1.0, "lora_dropout");
  folder.refused("lora_dropout", -0.1, "lora_dropout");
  folder.refused("use_rslora", "yes", "use_rslora");
}

TEST(PeftFolder, RefusesVariantsThatWouldGiveOtherResults) {
  Folder folder;
  folder.refused("use_dora", true, "use_dora");
  folder.refused("rank_pattern", {{"q_proj", 2}}, "rank_pattern");
  folder.refused("alpha_pattern", {{"q_proj", 2}}, "alpha_pattern");
  folder.refused("layers_to_transform", {0}, "layers_to_transform");
  folder.refused("modules_to_save", {"lm_head"}, "modules_to_save");
  folder.refused("bias", "all", "bias");
  folder.config.update({{"use_dora", false},
                        {"rank_pattern", Json::object()},
                        {"alpha_pattern", Json::object()},
                        {"bias", "none"},
                        {"modules_to_save", nullptr},
                        {"layers_to_transform", nullptr}});
  EXPECT_NO_THROW(folder.load());  // as PEFT writes them when they are off
}

TEST(PeftFolder, RefusesInitialisationsThatChangeTheBase) {
  Folder folder;
  for (const Json& value : Json{"pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", 3, Json::array({"eva"})}) {
    folder.refused("init_lora_weights", value, "init_lora_weights is " + value.dump());
    folder.refused("init_lora_weights", value, "path_initial_model_for_weight_conversion");
  }
  for (const Json& value : Json{nullptr, true, false, "gaussian", "eva"}) {
    folder.config["init_lora_weights"] = value;
    EXPECT_NO_THROW(folder.load()) << value;
  }
}

TEST(PeftFolder, NamesTensorsThatAreMissingOrTooMany) {
  for (const auto& [name, tensor] : Folder().tensors) {
    Folder folder;
    folder.tensors.erase(name);
    folder.refused("11 tensors");
    // Another in its place: the number is right, the name is not.
    folder.tensors["base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"] = tensor;
    folder.refused("is missing");
  }
  Folder folder;
  folder.tensors["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"] = at::ones({4, 20});
  folder.refused("13 tensors");
  folder.tensors.clear();
  folder.refused("0 tensors");
}

TEST(PeftFolder, RefusesOtherNames) {
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.lora_A.weight", "base_model.model.model.layers.0.self_attn.q_proj.lora_A", "x", ""}) {
    Folder folder;
    folder.tensors[name] = at::ones({2});
    folder.refused("is no LoRA factor");
  }
}

TEST(PeftFolder, RefusesFactorsOfAnotherRankOrModel) {
  Folder folder;
  folder.config["r"] = 5;
  folder.refused("has shape [4, 20], this model and lora.rank ask for [5, 20]");
  folder.config["r"] = 4;
  folder.model = testing::tiny_config(6, 2);
  folder.refused("lora_B' has shape");
  folder.model.layers = 2;
  folder.refused("12 tensors, an adapter on q_proj and v_proj of 2 layers has 8");
}

TEST(PeftFolder, NamesFilesThatAreNotThereOrNoJson) {
  const Folder folder;
  const std::string path = folder.disk.path().string();
  const auto load = [&] { load_peft_adapter(path, folder.model); };
  expect_error(ExitCode::kNoInput, "adapter_config.json", load);
  const std::pair<std::string, const char*> texts[] = {
      {"", "adapter_config.json: not valid JSON"},
      {"{", "adapter_config.json: not valid JSON"},
      {"[]", "adapter_config.json: not a JSON object"},
      {"{\"lora_dropout\": " + std::string(500'000, '[') + std::string(500'000, ']') + "}", "nested deeper than 64 levels"}};
  for (const auto& [text, why] : texts) {
    folder.disk.put("adapter_config.json", text);
    expect_error(ExitCode::kBadData, why, load);
  }
  folder.disk.put("adapter_config.json", folder.config.dump());
  expect_error(ExitCode::kNoInput, "adapter_model.safetensors", load);
}

/// What the adapter adds to a projection's weight.
at::Tensor delta(const LoraAdapter::Layer& layer, const ops::LoraFactors& factors) {
  return layer.scale * factors.b.mm(factors.a);
}

TEST(PeftFolder, IsWrittenWithOneRankAndScaleForAllLayers) {
  const Folder folder;
  const LoraAdapter first = folder.load().adapter, second = LoraAdapter(folder.model, {.lora_rank = 4, .alpha = 8}, 9);
  for (const auto& [name, tensor] : second.named()) tensor.copy_(testing::normal_tensor(tensor.sizes(), 77));
  const LoraAdapter merged = merge_adapters({first, second}, {0.25, 0.75}, 1);  // rank 4 below layer 1, 8 above
  const testing::TempFolder out;
  const std::string path = (out.path() / "peft").string();
  save_peft_adapter(path, merged, "base");
  const PeftAdapter read = load_peft_adapter(path, folder.model);
  EXPECT_EQ(read.config.lora_rank, 8);
  for (std::int64_t i = 0; i < folder.model.layers; ++i) {
    testing::expect_close(delta(read.adapter.layer(i), read.adapter.layer(i).q), delta(merged.layer(i), merged.layer(i).q), 1e-6);
    testing::expect_close(delta(read.adapter.layer(i), read.adapter.layer(i).v), delta(merged.layer(i), merged.layer(i).v), 1e-6);
  }
  expect_error(ExitCode::kIo, "cannot make the folder",
               [&] { save_peft_adapter(path + "/adapter_config.json/x", merged, "base"); });
}

}  // namespace
}  // namespace thinkrec
