// The options of thinkrec_bench.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_bench", "Times the trainer's step: constant learning rate 1e-4, weight decay 1e-3, no clipping. One JSON line.",
    "thinkrec_bench --model DIR --adapter DIR --workload FILE --stage global --threads 1 --batch 8 --steps 6"};

OptionTable options() {
  using enum OptionType;
  return {
      {"model", kPath, "", "", "", "Hugging Face folder or .gguf file"},
      {"adapter", kPath, "", "", "", "PEFT folder to start from"},
      {"workload", kPath, "", "", "", "JSON lines: {\"ids\", \"prompt_len\", \"label\", \"reason\", \"user\"}"},
      {"stage", kChoice, "global", "choices global|expert", "",
       "expert trains the last max(1, layers / 4) layers, from cached hidden states"},
      {"experts", kInteger, "1", "[1, 64]", "",
       "stage expert: so many at once over one base, each on `batch` rows of its own a step; `losses` has a list for each"},
      {"share", kFlag, "false", "", "", "rows of one user in a step hold what they begin with in common once"},
      {"threads", kInteger, "1", "[1, 1024]", "threads", "of libtorch and the kernels"},
      {"batch", kInteger, "8", "[1, 65536]", "rows", "of a step, taken in order, starting over at the end"},
      {"steps", kInteger, "6", "[1, inf)", "steps", "timed"},
      {"warmup", kInteger, "2", "[0, inf)", "steps", "not timed, first"},
      {"dropout", kReal, "0", "[0, 1)", "", "on the input of the adapters"},
      {"dtype", kChoice, "fp32", "choices fp32|bf16", "", "of the frozen weights and activations; bf16 on GPUs alone"},
      {"matmul-precision", kChoice, "highest", "choices highest|high|medium", "",
       "of fp32 tensors' products, as run.matmul_precision"},
      {"device", kChoice, "cpu", "choices cpu|cuda", "", "where the model runs"},
      {"breakdown", kFlag, "false", "", "",
       "say where the timed steps' time goes, and what their matrix products alone would take; costs some speed"},
      {"activation-checkpointing", kFlag, "false", "", "", "compute the activations again in the backward pass"},
      {"cache-mb", kInteger, "1024", "[0, inf)", "MiB",
       "stage expert: for hidden states below the trained layers; 0: computed every time"},
      {"micro-tokens", kInteger, "2048", "[1, inf)", "tokens", "of one forward and backward pass, as run.micro_tokens"},
  };
}

}  // namespace

const Program& bench_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
