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
  std::int64_t computed = 0;  ///< tokens
  NamedTensors parameters;
};

struct Training {
  std::int64_t first_layer = 0;
  std::int64_t micro_tokens = 50;
  bool strict = false;
  bool share = false;  ///< rows of one user are computed together; every second row begins as the one before it
  double dropout = 0.1;
  bool recompute = false;
  std::int64_t rows_per_user = 2;
};

/// An adapter in training: its parameters begin as `seed` says, and so do its rows, reasons among them.
class TestLane {
 public:
  TestLane(const Llama& model, std::int64_t first_layer, unsigned seed)
      : adapter_(LoraAdapter(model.config(), {4, 8, 0.1}, 7).to(model.device())) {
    for (auto& [name, tensor] : adapter_.named()) {  // B is zero at first, and A then without gradient
      if (name.ends_with("lora_B")) tensor.copy_(normal_tensor(tensor.sizes(), 3, 0.1));
    }
    // Adapters that train together agree below the first trainable layer.
    for (auto& [name, tensor] : adapter_.named(first_layer, model.config().layers))
      tensor.mul_(1 + 0.1 * static_cast<double>(seed));
    parameters_ = std::make_unique<ParameterSet>(adapter_.named(first_layer, model.config().layers), 0.01);
    for (const std::vector<std::int32_t>& tokens : random_rows({9, 17, 4, 33, 12, 5 + seed}, model.config().vocab, seed)) {
      EncodedRow& row = rows_.emplace_back();
      row.token = tokens;
      row.row = static_cast<std::int64_t>(rows_.size() + 100 * seed);
      row.reason = rows_.size() % 3 == 0;
      row.prompt_length = static_cast<std::int64_t>(tokens.size()) - (row.reason ? 3 : 1);
      row.label = static_cast<float>(rows_.size() % 2);
    }
    // Rows of one user begin alike, with so many tokens.
    for (std::size_t i = 1; i < rows_.size(); i += 2) {
      const std::vector<std::int32_t> common =
          random_rows({20 + static_cast<std::int64_t>(i)}, model.config().vocab, seed + 9)[0];
      for (EncodedRow* row : {&rows_[i - 1], &rows_[i]}) {
        row->token.insert(row->token.begin(), common.begin(), common.end());
        row->prompt_length += static_cast<std::int64_t>(common.size());
      }
    }
    result_.parameters = adapter_.named(first_layer, model.config().layers);
  }

  StepLane step_lane() { return {&adapter_, parameters_.get()}; }
  LaneRows part(std::size_t lane, std::int64_t rows_per_user = 2) const {
    LaneRows part{lane, {}, 0.001};
    for (std::size_t i = 0; i < rows_.size(); ++i)
      part.rows.push_back({&rows_[i], static_cast<std::uint64_t>(rows_[i].row), 1, static_cast<std::int64_t>(i) / rows_per_user});
    return part;
  }
  void take(const StepResult& done) {
    EXPECT_TRUE(done.finite);
    result_.losses.push_back(done.loss);
    result_.norms.push_back(done.gradient_norm);
    result_.computed += done.computed;
  }
  const Trained& result() const { return result_; }

 private:
  LoraAdapter adapter_;
  std::unique_ptr<ParameterSet> parameters_;
  std::vector<EncodedRow> rows_;
  Trained result_;
};

/// Three steps of an adapter for each seed, six rows each, with dropout and clipping; all adapters in the same steps.
inline std::vector<Trained> train_together(const Llama& model, const Training& training, const std::vector<unsigned>& seeds,
                                           Collectives& ranks) {
  StepConfig config;
  config.yes_token = 11;
  config.first_layer = training.first_layer;
  config.dropout = training.dropout;
  config.share = training.share;
  config.recompute = training.recompute;
  config.clip = 0.5;
  config.micro_tokens = training.micro_tokens;
  config.strict = training.strict;
  std::vector<std::unique_ptr<TestLane>> lanes;
  std::vector<StepLane> step_lanes;
  std::vector<LaneRows> parts;
  for (const unsigned seed : seeds) {
    lanes.push_back(std::make_unique<TestLane>(model, training.first_layer, seed));
    step_lanes.push_back(lanes.back()->step_lane());
    parts.push_back(lanes.back()->part(parts.size(), training.rows_per_user));
  }
  const Projector none;
  StepEngine engine(model, step_lanes, none, nullptr, config, ranks);
  for (std::int64_t step = 1; step <= 3; ++step) {
    const auto results = engine.run(step, parts);
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i]->take(results[i]);
  }
  std::vector<Trained> trained;
  for (const auto& lane : lanes) trained.push_back(lane->result());
  return trained;
}

inline Trained train(const Llama& model, std::int64_t first_layer) {
  return train_together(model, {.first_layer = first_layer}, {5}, *make_solo_collectives())[0];
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
