// The forecast of a pass against the pass: bytes that libtorch really holds, and matrix products that really run.
#include "train/forecast.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "support/testing.h"
#include "support/tiny_model.h"
#include "train/layer_probe.h"
#include "train/step.h"
#include "train/step_plan.h"

namespace thinkrec {
namespace {

using testing::expect_error;

/// Follows what libtorch's allocator gives and takes on this thread.
class LiveBytes final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
    live_ += bytes;
    peak_ = std::max(peak_, live_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t peak() const { return peak_; }

 private:
  std::int64_t live_ = 0, peak_ = 0;
};

LlamaConfig shape(std::int64_t width, std::int64_t ffn, std::int64_t layers, std::int64_t vocab) {
  LlamaConfig config = testing::tiny_config(8, 2);
  config.width = width;
  config.head_width = width / 8;
  config.ffn = ffn;
  config.layers = layers;
  config.vocab = vocab;
  return config;
}

/// Rows with answers of `answer` tokens.
std::vector<EncodedRow> rows_of(const std::vector<std::int64_t>& lengths, std::int64_t answer, std::int64_t vocab) {
  std::vector<EncodedRow> rows;
  for (const auto& tokens : testing::random_rows(lengths, vocab, 3)) {
    EncodedRow& row = rows.emplace_back();
    row.token = tokens;
    row.row = static_cast<std::int64_t>(rows.size());
    row.reason = answer > 1;
    row.prompt_length = static_cast<std::int64_t>(tokens.size()) - answer;
  }
  return rows;
}

PassShape shape_of(const std::vector<EncodedRow>& rows) {
  PassShape pass;
  for (const EncodedRow& row : rows) {
    const auto fed = static_cast<std::int64_t>(row.token.size()) - 1;
    pass += {fed, row.answer_length(), static_cast<double>(fed) * static_cast<double>(fed)};
  }
  return pass;
}

/// One step of the trainer over these rows, in one pass.
void step(const Llama& model, const std::vector<EncodedRow>& rows, std::int64_t first_layer, std::int64_t lora_rank,
          bool recompute) {
  at::set_num_threads(1);
  const LoraAdapter adapter(model.config(), {.lora_rank = lora_rank}, 1);
  ParameterSet parameters(adapter.named(first_layer, model.config().layers), 0);
  const Projector none;
  StepConfig config;
  config.first_layer = first_layer;
  config.dropout = 0;
  config.micro_tokens = 1 << 20;
  config.cache_bytes = 0;
  config.recompute = recompute;
  const auto ranks = make_solo_collectives();
  StepEngine engine(model, {{&adapter, &parameters}}, none, nullptr, config, *ranks);
  LaneRows part{0, {}, 0.001};
  for (const EncodedRow& row : rows) part.rows.push_back({&row, static_cast<std::uint64_t>(row.row), 1, -1});
  engine.run(1, std::span(&part, 1));
}

struct Case {
  LlamaConfig model;
  std::vector<std::int64_t> lengths;
  std::int64_t answer, first_layer;
  bool recompute = false;
  std::string name() const {
    return fmt::format("width {}, {} layers from {}{}", model.width, model.layers, first_layer, recompute ? ", recomputed" : "");
  }
};
std::vector<Case> cases() {
  std::vector<Case> all = {{shape(64, 192, 6, 97), {150, 91, 203}, 1, 0},
                           {shape(128, 256, 4, 97), {300, 17}, 9, 0},
                           {shape(64, 160, 6, 5003), {60, 45, 70, 33}, 30, 0},  // the logits are what is largest
                           {shape(128, 384, 5, 97), {301, 120}, 1, 3}};
  for (std::size_t i = 0, kept = all.size(); i < kept; ++i) {
    Case recomputed = all[i];
    recomputed.recompute = true;
    all.push_back(recomputed);
  }
  return all;
}

TEST(Forecast, BytesOfAPassAreThoseThatLibtorchHolds) {
  for (const Case& given : cases()) {
    SCOPED_TRACE(given.name());
    const testing::TinyModel model(given.model);
    const auto rows = rows_of(given.lengths, given.answer, given.model.vocab);
    step(*model, rows, given.first_layer, 4, given.recompute);  // makes what products work in, which stays
    const auto live = std::make_shared<LiveBytes>();
    {
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
      step(*model, rows, given.first_layer, 4, given.recompute);
    }
    const PassShape pass = shape_of(rows);
    const PassBytes bytes = pass_bytes(given.model, pass, {given.first_layer, false, 4, 4, false, given.recompute});
    const std::int64_t trained = lora_values(given.model, 4, given.first_layer), held = lora_values(given.model, 4, 0);
    // Beside the pass: the adapter, its gradients and moments; and below the trained layers their result.
    const std::int64_t others = 4 * (held + 3 * trained + (given.first_layer > 0 ? pass.tokens * given.model.width : 0));
    const double forecast = static_cast<double>(bytes.peak + others), measured = static_cast<double>(live->peak());
    std::printf("forecast %.0f, measured %.0f: %.3f\n", forecast, measured, forecast / measured);
    EXPECT_NEAR(forecast / measured, 1.0, 0.1) << "forecast " << forecast << ", measured " << measured;
  }
}

double products = 0;
std::unique_ptr<at::ObserverContext> count_product(const at::RecordFunction& function) {
  const std::string name = function.name();
  if (name != "aten::mm" && name != "thinkrec::product") return nullptr;  // of two factors; of one and the result
  const auto inputs = function.inputs();
  const at::Tensor &a = inputs[0].toTensor(), &b = inputs[1].toTensor();
  products += 2.0 * static_cast<double>(a.size(0)) * static_cast<double>(a.size(1)) * static_cast<double>(b.size(1));
  return nullptr;
}

TEST(Forecast, OperationsAreThoseOfTheProductsThatRun) {
  for (const Case& given : cases()) {
    SCOPED_TRACE(given.name());
    const testing::TinyModel model(given.model);
    const auto rows = rows_of(given.lengths, given.answer, given.model.vocab);
    products = 0;
    const auto handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(count_product).needsInputs(true).scopes({at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE}));
    step(*model, rows, given.first_layer, 4, given.recompute);
    at::removeCallback(handle);
    // Products alone: attention and adapters have kernels of their own.
    PassShape pass = shape_of(rows);
    pass.squares = 0;
    double forecast = training_flops(given.model, pass, {given.first_layer, false, 0, 4, false, given.recompute});
    for (const EncodedRow& row : rows) {
      const auto fed = static_cast<std::int64_t>(row.token.size()) - 1;
      forecast += forward_flops(given.model, {fed, fed, 0}, 0, given.first_layer, 0);
    }
    EXPECT_NEAR(forecast / products, 1.0, 1e-9) << forecast << " and " << products;
  }
}

TEST(Forecast, MoreTokensOrWiderValuesHoldMore) {
  const LlamaConfig model = shape(64, 192, 6, 97);
  const PassKind fp32{0, true, 8, 4, true}, bf16{0, true, 8, 2, true};
  EXPECT_LT(pass_bytes(model, {100, 1, 0}, fp32).peak, pass_bytes(model, {200, 2, 0}, fp32).peak);
  EXPECT_LT(pass_bytes(model, {100, 1, 0}, bf16).peak, pass_bytes(model, {100, 1, 0}, fp32).peak);
  const PassKind recomputed{0, true, 8, 4, true, true};
  EXPECT_LT(pass_bytes(model, {100, 1, 0}, recomputed).peak * 2, pass_bytes(model, {100, 1, 0}, fp32).peak);
  EXPECT_EQ(pass_bytes(model, {100, 1, 0}, {6, false, 8, 4, false}).peak, 0) << "nothing is trained";
}

TEST(Forecast, KnowsItsGpusByName) {
  EXPECT_EQ(gpu_kind("h100").bf16_flops, 989e12);
  expect_error(ExitCode::kUsage, "known are a10|", [] { gpu_kind("h10"); });
}

TEST(Forecast, ALayerIsTimed) {
  const LayerRate rate = measure_layer(shape(64, 192, 6, 97), 300, 100, 4);
  EXPECT_EQ(rate.tokens, 300);
  EXPECT_GT(rate.seconds, 0);
  EXPECT_GT(rate.flops_per_second, 1e6);
  EXPECT_LT(rate.flops_per_second, 1e15);
  // A wide one is cut down to a pass of about a second.
  LlamaConfig wide = shape(1024, 4096, 2, 97);
  EXPECT_LT(measure_layer(wide, 4096, 4096, 4).tokens, 4096);
}

}  // namespace
}  // namespace thinkrec
