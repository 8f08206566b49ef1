// Gradients of one training step without an update, for lora_oracle.py.
//   adapters_gradient_tool MODEL PEFT_FOLDER ROWS.jsonl OUT.safetensors [FIRST_LAYER]
// A row: {"ids": [...], "prompt_len": n, "label": 0 or 1, "reason": true or false}. Writes the gradient of every LoRA factor of the layers
// from FIRST_LAYER on by name, and "losses": the weighted sum, its BCE part and its CE part.

#include <ATen/ATen.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "adapters/peft_folder.h"
#include "core/error.h"
#include "io/safetensors.h"
#include "train/row_losses.h"

namespace {

using namespace thinkrec;

constexpr std::int32_t kYesToken = 5;

std::vector<EncodedRow> read_rows(const std::string& path) {
  std::vector<EncodedRow> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line);
    EncodedRow& row = rows.emplace_back();
    row.token = json.at("ids").get<std::vector<std::int32_t>>();
    row.prompt_length = json.at("prompt_len").get<std::int64_t>();
    row.label = json.at("label").get<float>();
    row.reason = json.at("reason").get<bool>();
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 5) fail(ExitCode::kUsage, "adapters_gradient_tool MODEL PEFT_FOLDER ROWS.jsonl OUT.safetensors [FIRST_LAYER]");
  const auto source = ModelSource::open(argv[1]);
  std::vector<float> block(static_cast<std::size_t>(weight_count(source->config())));
  source->read(block.data());
  const Llama model(source->config(), view_weights(source->config(), block.data()));
  const PeftAdapter peft = load_peft_adapter(argv[2], model.config());
  const std::int64_t layers = model.config().layers, first_layer = argc > 5 ? std::stoll(argv[5]) : 0;

  const std::vector<EncodedRow> rows = read_rows(argv[3]);
  std::vector<StepRow> step;
  for (const EncodedRow& row : rows) step.push_back({&row, step.size(), 1.0 / static_cast<double>(rows.size())});
  const LossBatch batch = make_loss_batch(step, LossWeights{}, CeSpan::kAnswer);

  NamedTensors parameters = peft.adapter.named(first_layer, layers);
  at::Tensor hidden;
  {
    const at::NoGradGuard frozen;
    const LoraHook hook(peft.adapter);
    hidden = model.layers(model.embed(batch.pack.packed, {}), batch.pack.packed, 0, first_layer, &hook);
  }
  for (auto& [name, parameter] : parameters) parameter.requires_grad_();
  const LoraHook hook(peft.adapter, 0.0, first_layer, 1, 1);
  const at::Tensor normed = model.final_norm(model.layers(hidden, batch.pack.packed, first_layer, layers, &hook, batch.needed));
  const at::Tensor& head = model.weights().head;
  const auto bce =
      ops::yes_bce(normed.index_select(0, batch.yes_index), head[kYesToken].contiguous(), batch.label, batch.bce_weight);
  const auto ce = ops::linear_cross_entropy(normed, head, batch.target, batch.ce_weight);
  (bce.total + ce.total).backward();

  at::Tensor losses = at::stack({bce.total + ce.total, bce.total, ce.total}).detach().contiguous();
  std::vector<at::Tensor> gradients;
  std::vector<SafetensorsTensor> out = {{"losses", {3}, losses.const_data_ptr<float>()}};
  for (auto& [name, parameter] : parameters) {
    gradients.push_back(parameter.grad().contiguous());
    out.push_back({name, parameter.sizes().vec(), gradients.back().const_data_ptr<float>()});
  }
  std::ofstream(argv[4], std::ios::binary) << encode_safetensors(out, {});
  return 0;
} catch (const thinkrec::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(error.code());
}
