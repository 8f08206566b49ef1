#include "model/hf_folder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/testing.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::TempFolder;

std::vector<float> read_block(const std::string& folder, const LlamaConfig& config) {
  std::vector<float> block(static_cast<std::size_t>(weight_count(config)));
  ModelSource::open(folder)->read(block.data());
  return block;
}

/// The block without what lies between tensors.
std::vector<at::Tensor> tensors(const LlamaConfig& config, std::vector<float>& block) {
  std::vector<at::Tensor> all;
  for (const NamedWeight& weight : named_weights(config, view_weights(config, block.data()))) all.push_back(weight.tensor);
  return all;
}

TEST(HfFolder, IsReadBackAsItWas) {
  for (const bool tied : {true, false}) {
    for (const std::uint64_t shard_bytes : {std::uint64_t{1} << 30, std::uint64_t{9000}, std::uint64_t{1}}) {
      LlamaConfig config = testing::tiny_config(4, 2, tied);
      config.rope_theta = 5e5;
      config.rope_scaling = {
          .llama3 = tied, .factor = 8, .low_frequency_factor = 1, .high_frequency_factor = 4, .original_length = 64};
      std::vector<float> block = testing::random_block(config, 5);
      const TempFolder folder;
      const std::string path = folder.file("new/model");
      save_hf_folder(path, config, view_weights(config, block.data()), {.shard_bytes = shard_bytes, .bos = 1, .eos = 2});
      EXPECT_EQ(std::filesystem::exists(path + "/model.safetensors.index.json"), shard_bytes < 10000);
      const LlamaConfig read = ModelSource::open(path)->config();
      EXPECT_EQ(read.vocab, config.vocab);
      EXPECT_EQ(read.head_width, config.head_width);
      EXPECT_EQ(read.tied_head, tied);
      EXPECT_EQ(read.rope_theta, 5e5);
      EXPECT_EQ(read.rope_scaling.llama3, tied);
      EXPECT_EQ(read.norm_epsilon, config.norm_epsilon);
      EXPECT_EQ(read.max_positions, config.max_positions);
      EXPECT_TRUE(!tied || read.rope_scaling.original_length == 64);
      std::vector<float> again = read_block(path, config);
      const auto wanted = tensors(config, block), got = tensors(config, again);
      for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_TRUE(at::equal(got[i], wanted[i])) << i;
    }
  }
}

TEST(HfFolder, SaysWhichTokensBeginAndEnd) {
  const LlamaConfig config = testing::tiny_config();
  std::vector<float> block = testing::random_block(config, 5);
  const TempFolder folder;
  HfFolderOptions options;
  options.eos = 7;
  save_hf_folder(folder.path().string(), config, view_weights(config, block.data()), options);
  for (const char* name : {"config.json", "generation_config.json"}) {
    const auto json = nlohmann::json::parse(folder.read(name));
    EXPECT_TRUE(json["bos_token_id"].is_null()) << name;
    EXPECT_EQ(json["eos_token_id"], 7) << name;
  }
}

TEST(HfFolder, RefusesWhatItCannotSay) {
  LlamaConfig config = testing::tiny_config();
  std::vector<float> block = testing::random_block(config, 5);
  const TempFolder folder;
  const auto save = [&](const std::string& path) { save_hf_folder(path, config, view_weights(config, block.data()), {}); };
  folder.put("file", "");
  testing::expect_error(ExitCode::kIo, "cannot make the folder", [&] { save(folder.file("file/model")); });
  config.rope_factors = {1, 2, 3};
  testing::expect_error(ExitCode::kBadData, "RoPE factors", [&] { save(folder.file("model")); });
}

}  // namespace
}  // namespace thinkrec
