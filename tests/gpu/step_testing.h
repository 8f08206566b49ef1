#pragma once
// A short training of a tiny model, to be run on two kinds of kernels and compared.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/tensors.h"
#include "support/tiny_model.h"
#include "train/step.h"

namespace thinkrec::testing {

struct Trained {
  std::vector<double> losses, norms;
  NamedTensors parameters;
};

/// Three steps of six rows, reasons among them, with dropout, clipping and two micro-batches.
inline Trained train(const Llama& model, std::int64_t first_layer) {
  LoraAdapter adapter = LoraAdapter(model.config(), {4, 8, 0.1}, 7).to(model.device());
  for (auto& [name, tensor] : adapter.named()) {  // B is zero at first, and A then without gradient
    if (name.ends_with("lora_B")) tensor.copy_(normal_tensor(tensor.sizes(), 3, 0.1));
  }
  std::vector<EncodedRow> rows;
  for (const std::vector<std::int32_t>& tokens : random_rows({9, 17, 4, 33, 12, 5}, model.config().vocab, 5)) {
    EncodedRow& row = rows.emplace_back();
    row.token = tokens;
    row.row = static_cast<std::int64_t>(rows.size());
    row.reason = rows.size() % 3 == 0;
    row.prompt_length = static_cast<std::int64_t>(tokens.size()) - (row.reason ? 3 : 1);
    row.label = static_cast<float>(rows.size() % 2);
  }
  std::vector<StepRow> step_rows;
  for (const EncodedRow& row : rows) step_rows.push_back({&row, static_cast<std::uint64_t>(row.row)});
  StepConfig config;
  config.yes_token = 11;
  config.first_layer = first_layer;
  config.dropout = 0.1;
  config.clip = 0.5;
  config.micro_tokens = 50;
  const auto alone = make_solo_collectives();
  const Projector none;
  Trained result;
  {
    ParameterSet parameters(adapter.named(first_layer, model.config().layers), 0.01);
    StepEngine engine(model, adapter, none, nullptr, parameters, config, *alone);
    for (std::int64_t step = 1; step <= 3; ++step) {
      const StepResult done = engine.run(step, step_rows, 0.01);
      EXPECT_TRUE(done.finite);
      result.losses.push_back(done.loss);
      result.norms.push_back(done.gradient_norm);
    }
  }
  result.parameters = adapter.named(first_layer, model.config().layers);
  return result;
}

inline void expect_same_training(const Trained& got, const Trained& wanted) {
  constexpr double kBound = 1e-5;
  for (std::size_t i = 0; i < wanted.losses.size(); ++i) {
    EXPECT_NEAR(got.losses[i], wanted.losses[i], kBound * std::abs(wanted.losses[i])) << "step " << i + 1;
    EXPECT_NEAR(got.norms[i], wanted.norms[i], kBound * wanted.norms[i]) << "step " << i + 1;
  }
  for (std::size_t i = 0; i < wanted.parameters.size(); ++i)
    expect_close(got.parameters[i].second.cpu(), wanted.parameters[i].second, kBound, wanted.parameters[i].first);
  EXPECT_NE(got.losses[0], got.losses[2]);
}

/// bf16 keeps 8 bits: the losses agree to a few percent, the gradient until the paths part.
inline void expect_similar_training(const Trained& got, const Trained& wanted) {
  constexpr double kBound = 0.04;
  for (std::size_t i = 0; i < wanted.losses.size(); ++i)
    EXPECT_NEAR(got.losses[i], wanted.losses[i], kBound * std::abs(wanted.losses[i])) << "step " << i + 1;
  EXPECT_NEAR(got.norms[0], wanted.norms[0], kBound * wanted.norms[0]);
  EXPECT_NE(got.losses, wanted.losses);
  for (const auto& [name, tensor] : got.parameters) EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
}

}  // namespace thinkrec::testing
