// Logits of a model at all positions, for llama_oracle.py.
//   model_logits_tool MODEL [--alone | ADAPTER]
// stdin: one JSON array of token ids a line. stdout: fp32 logits, [tokens of all lines, vocabulary], in order. The lines are packed
// together, or run one by one. ADAPTER is a PEFT folder.

#include <ATen/ATen.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "adapters/peft_folder.h"
#include "core/error.h"
#include "model/llama.h"

namespace {

void print_logits(const thinkrec::Llama& model, const thinkrec::PackedBatch& batch, const thinkrec::ProjectionHook* hook) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = model.layers(model.embed(batch, {}), batch, 0, model.config().layers, hook);
  const at::Tensor logits = model.logits(model.final_norm(hidden)).contiguous();
  std::fwrite(logits.const_data_ptr<float>(), sizeof(float), static_cast<std::size_t>(logits.numel()), stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) thinkrec::fail(thinkrec::ExitCode::kUsage, "model_logits_tool MODEL [--alone | ADAPTER] <token lines");
  const bool alone = argc > 2 && std::strcmp(argv[2], "--alone") == 0;
  const auto source = thinkrec::ModelSource::open(argv[1]);
  std::vector<float> block(static_cast<std::size_t>(thinkrec::weight_count(source->config())));
  source->read(block.data());
  const thinkrec::Llama model(source->config(), thinkrec::view_weights(source->config(), block.data()));
  std::optional<thinkrec::PeftAdapter> adapter;
  std::optional<thinkrec::LoraHook> hook;
  if (argc > 2 && !alone) hook.emplace(adapter.emplace(thinkrec::load_peft_adapter(argv[2], source->config())).adapter);
  const thinkrec::ProjectionHook* const put_on = hook ? &*hook : nullptr;
  thinkrec::PackedBatch all;
  for (std::string line; std::getline(std::cin, line);) {
    const auto tokens = nlohmann::json::parse(line).get<std::vector<std::int32_t>>();
    if (alone) {
      thinkrec::PackedBatch one;
      one.add(tokens, 0);
      print_logits(model, one, put_on);
    } else {
      all.add(tokens, static_cast<std::uint64_t>(all.rows()));
    }
  }
  if (!alone) print_logits(model, all, put_on);
  return 0;
} catch (const thinkrec::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(error.code());
}
