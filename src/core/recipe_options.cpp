#include "core/recipe_options.h"

namespace thinkrec {
namespace {

/// The settings of one training phase, under `prefix` ("activate.phases.*." or "expert.").
void add_phase(OptionTable& table, const std::string& prefix, const char* steps, const char* rate, const char* floor) {
  using enum OptionType;
  table.insert(
      table.end(),
      {
          {prefix + "steps", kInteger, steps, "[0, inf)", "steps", "optimizer steps"},
          {prefix + "batch", kInteger, "8", "[1, 65536]", "rows", "rows of a step over all ranks"},
          {prefix + "learning_rate", kReal, rate, "(0, 1]", "", "AdamW's learning rate after the warm-up"},
          {prefix + "min_learning_rate", kReal, floor, "[0, 1]", "", "learning rate at the last step, reached by a cosine"},
          {prefix + "warmup", kInteger, "200", "[0, inf)", "steps", "linear warm-up from a tenth of the learning rate"},
          {prefix + "weight_decay", kReal, "1e-3", "[0, 1]", "", "AdamW's weight decay of matrices; vectors have none"},
          {prefix + "clip", kReal, "1.0", ">= 0", "", "largest norm of the gradient; 0 turns clipping off"},
          {prefix + "validate_every", kInteger, "200", ">= 0", "steps",
           "validation and selection of the best parameters; 0: only at the end"},
      });
}

OptionTable make_table() {
  using enum OptionType;
  OptionTable table = {
      {"run.seed", kInteger, "42", "[0, inf)", "", "seed of everything random"},
      {"run.deterministic", kChoice, "fast", "choices off|fast|strict", "",
       "fast: same seed and ranks, same bits; strict: the same bits for any number of ranks, slower"},
      {"run.threads", kInteger, "0", "[0, 1024]", "threads",
       "of a rank; 0: OMP_NUM_THREADS (launch/run.sh sets it), else the CPUs it may run on, shared among the ranks there", false},
      {"run.device", kChoice, "auto", "choices auto|cpu|cuda", "",
       "where the model runs; auto: on GPUs where every rank sees one", false},
      {"run.dtype", kChoice, "auto", "choices auto|fp32|bf16", "",
       "of the frozen weights and activations; auto: bf16 on GPUs, fp32 on the CPU"},
      {"run.matmul_precision", kChoice, "highest", "choices highest|high|medium", "",
       "of products of fp32 tensors with weights; high: TF32 on GPUs, factors of 16 bits on CPUs with AMX; medium: factors rounded to bf16, "
       "8 bits, sums in fp32; on CPUs with AMX each is faster than the one before"},
      {"run.collective_timeout", kReal, "600", "> 0", "seconds",
       "a collective that takes longer, though all ranks are in it, ends the run with code 71; on GPUs without a watchdog, too",
       false},
      {"run.watchdog", kReal, "60", "[0, 1000000]", "seconds",
       "a rank that gets nowhere in a step for so long, or 10 median steps, ends the job with code 71; 0: no watchdog", false},
      {"run.watchdog_quiet", kReal, "600", "> 0", "seconds", "the same outside steps and in the first ones", false},
      {"run.record_collectives", kFlag, "false", "", "",
       "the watchdog writes every collective to watch/collectives-<rank>.txt, to be replayed elsewhere", false},
      {"run.profile_from", kInteger, "0", "[0, inf)", "",
       "first of the steps of each phase whose operations and parts every rank records; 0: none", false},
      {"run.profile_steps", kInteger, "3", "[1, 1000]", "steps", "that are recorded", false},
      {"run.profile_to", kChoice, "trace", "choices trace|nvtx", "",
       "trace: profile/<phase>-rank<r>.json in the run directory, which chrome://tracing and ui.perfetto.dev read; nvtx: ranges for Nsight "
       "Systems, on a GPU",
       false},
      {"run.micro_tokens", kInteger, "2048", "[1, inf)", "tokens",
       "a forward and backward pass holds about so many; sets the memory needed. Evaluation and recommendation on a CPU: up to four times as "
       "many of one user"},
      {"run.activation_checkpointing", kFlag, "false", "", "",
       "keep only what goes into each layer and compute the rest again in the backward pass: a third or less of the memory of a pass for "
       "a third to a half more time, with the same results"},
      {"run.checkpoint_every", kInteger, "50", "[1, inf)", "steps", "steps between checkpoints", false},
      {"run.keep_last", kInteger, "2", "[1, 1000]", "checkpoints", "kept of each stage", false},
      {"run.skip_nonfinite", kInteger, "3", "[0, 1000]", "steps",
       "steps in a row whose loss or gradient may be NaN or infinite before the run ends with code 76"},
      {"run.skip_leaps", kReal, "0", "[0, 1000000]", "deviations",
       "a step whose loss is more than so many median absolute deviations above the median of the last 128 is skipped; 0: none is"},
      {"data.path", kPath, "", "", "", "data set written by thinkrec_prepare", false},
      {"model.path", kPath, "", "", "", "base model: a Hugging Face folder or a .gguf file", false},
      {"model.tokenizer", kPath, "", "", "", "tokenizer file or folder; empty: the one of model.path", false},

      {"encoder.kind", kChoice, "sasrec", "choices sasrec|mf|lightgcn", "", "collaborative encoder"},
      {"encoder.width", kInteger, "64", "[1, 4096]", "", "width d1 of user and item vectors"},
      {"encoder.blocks", kInteger, "2", "[1, 64]", "", "sasrec: transformer blocks"},
      {"encoder.heads", kInteger, "1", "[1, 64]", "", "sasrec: attention heads"},
      {"encoder.layers", kInteger, "2", "[1, 16]", "", "lightgcn: propagation layers"},
      {"encoder.biases", kFlag, "true", "", "", "mf, lightgcn: biases of users and items"},
      {"encoder.loss", kChoice, "bce", "choices bce|bpr|softmax", "",
       "mf, lightgcn: fit each label, or compare with one (bpr) or four (softmax) of the user's interactions of the other label"},
      {"encoder.recency", kReal, "0", "[0, 1000000]", "interactions",
       "mf, lightgcn: half-life of the user's recent mood, one more coordinate of the vectors; 0: none"},
      {"encoder.max_length", kInteger, "25", "[1, 1000]", "items", "sasrec: longest history"},
      {"encoder.all_positions", kFlag, "true", "", "", "sasrec: every position of a sequence is a target"},
      {"encoder.warm_start", kFlag, "true", "", "", "sasrec: items begin as those of a matrix factorisation"},
      {"encoder.fold_in", kFlag, "false", "", "",
       "sasrec: vectors twice as wide that also hold a lightgcn's, the two weighted on the valid rows"},
      {"encoder.ridge", kReal, "10", "> 0", "", "mf, lightgcn: precision of the prior when a user is folded in from a history"},
      {"encoder.dropout", kReal, "0.4", "[0, 1)", "", "sasrec: of embeddings and of each sub-layer's output"},
      {"encoder.learning_rate", kReal, "1e-3", "(0, 1]", "", "AdamW's learning rate"},
      {"encoder.weight_decay", kReal, "0.1", "[0, 10]", "", "decoupled, on tables and matrices"},
      {"encoder.averaging", kReal, "0.99", "[0, 1)", "",
       "decay per step of the running mean of the parameters, which is what is kept; 0: none"},
      {"encoder.batch", kInteger, "1024", "[1, inf)", "rows", "rows of a step"},
      {"encoder.max_epochs", kInteger, "200", "[1, inf)", "epochs", "at most"},
      {"encoder.patience", kInteger, "5", "[1, inf)", "epochs", "epochs without a better validation score before it stops"},

      {"prompt.history", kInteger, "10", "[0, 10000]", "items", "longest history shown; 0: all of it"},
      {"prompt.window", kChoice, "sliding", "choices sliding|anchored", "",
       "sliding: the latest items; anchored: their first moves in steps of half of prompt.history, so that rows of a user begin alike"},
      {"prompt.max_tokens", kInteger, "2048", "[16, 1000000]", "tokens", "of prompt and answer; the oldest history goes first"},
      {"prompt.keywords", kFlag, "true", "", "", "descriptions of items"},
      {"prompt.history_features", kFlag, "true", "", "",
       "features also behind the history's items, in templates that have features"},
      {"prompt.labels", kFlag, "true", "", "", "(evaluation: Yes|No) in the history"},
      {"prompt.disliked", kFlag, "true", "", "", "disliked items are part of the history"},

      {"lora.rank", kInteger, "8", "[1, 64]", "", "rank r of the adapters on q_proj and v_proj"},
      {"lora.alpha", kReal, "16", "> 0", "", "scale is alpha / rank"},
      {"lora.dropout", kReal, "0.05", "[0, 1)", "", "on the input of the adapters"},
      {"lora.start", kPath, "", "", "",
       "PEFT folder whose adapter the training begins with; its rank and scale must be those of lora.rank and lora.alpha"},
      {"projector.expansion", kInteger, "10", "[1, 1000]", "", "hidden width = expansion * encoder.width"},
      {"projector.match_scale", kFlag, "true", "", "", "scale outputs to the size of token embeddings at the start"},

      {"loss.alpha", kReal, "0.1", ">= 0", "", "weight of BCE in reason rows (paper, Eq. 7)"},
      {"loss.beta", kReal, "0.9", ">= 0", "", "weight of cross-entropy in reason rows"},
      {"loss.eta", kReal, "0.9", ">= 0", "", "weight of BCE in recommendation rows"},
      {"loss.gamma", kReal, "0.1", ">= 0", "", "weight of cross-entropy in recommendation rows"},
      {"loss.span", kChoice, "answer", "choices answer|all", "",
       "tokens of the cross-entropy: the answer, or prompt and answer (Eq. 5)"},
      {"mix.reason_share", kReal, "0.2", "[0, 1]", "", "share of reason rows in training"},
      {"mix.rows_per_user", kInteger, "1", "[1, 1024]", "rows",
       "up to so many rows of a user come one after the other, and what their prompts begin with is computed once a step (on the CPU)"},
      {"mix.train_rows", kInteger, "0", "[0, inf)", "rows",
       "train rows that the language model sees, a seeded sample, of runs of mix.rows_per_user neighbours of a user; 0: all. The encoder "
       "sees all in any case"},

      {"features.statistics", kFlag, "false", "", "",
       "slots of prompts also carry counts (rates of item and user) and the encoder's logit"},
      {"features.folds", kInteger, "5", "[2, 100]", "folds",
       "features.statistics: encoders trained besides, so that a train row's logit comes from one that has not seen its label"},
      {"activate.from", kPath, "", "", "",
       "run directory whose encoder and global adapter are taken; the settings that made them must be the same here"},
      {"activate.phases.*.name", kText, "main", "", "", "names the phase in logs and files"},
      {"activate.phases.*.template", kText, "thinkrec", "choices thinkrec|text|tallrec|collm|hard|soft|hybrid", "",
       "prompt: with features at their slots; the same in text alone; of TALLRec and CoLLM; of Prompt4NR in words, learnt tokens or both"},
      {"activate.phases.*.train", kChoice, "both", "choices lora|projector|soft|both|lora+soft", "",
       "what trains; both: lora and projector; soft: the learnt tokens of the prompt"},
  };
  add_phase(table, "activate.phases.*.", "1000", "1e-4", "8e-5");
  table.insert(
      table.end(),
      {
          {"valid.rows", kInteger, "0", "[0, inf)", "rows",
           "validation rows scored for selection, a seeded sample of users; 0: all"},
          {"valid.rows_per_user", kInteger, "0", "[0, inf)", "rows", "at most so many of a user; 0: all"},
          {"group.count", kInteger, "2", "[1, 1024]", "groups", "number N of user groups and experts"},
          {"group.method", kChoice, "kmeans", "choices kmeans|ward", "", "clustering of the users' collaborative vectors"},
          {"group.encoder", kChoice, "same", "choices same|mf|lightgcn|sasrec", "",
           "whose vectors are clustered and gate; same: those of encoder.kind, else another encoder trained for this alone"},
          {"expert.layers", kInteger, "8", "[1, 4096]", "layers", "the last layers, which the experts train"},
          {"expert.cache_mb", kInteger, "1024", "[0, inf)", "MiB",
           "of a rank, for hidden states below the trained layers; recomputed beyond it"},
      });
  add_phase(table, "expert.", "500", "1e-4", "8e-5");
  table.insert(
      table.end(),
      {
          {"gate.temperature", kReal, "0.1", "> 0", "", "of the softmax over cosines (Eq. 8)"},
          {"gate.entropy_share", kReal, "0.95", "[0, 1]", "", "above this share of ln N the global expert serves the user"},
          {"gate.single_base", kReal, "0.5", "[0, 2]", "", "one expert serves when its weight is above base + per_group / N"},
          {"gate.single_per_group", kReal, "0.6", "[0, 2]", "", "see gate.single_base"},
          {"evaluate.split", kChoice, "test", "choices train|valid|test", "", "split that the run ends with scoring"},
          {"evaluate.rows", kInteger, "0", "[0, inf)", "rows",
           "rows scored, or some more: a seeded sample of whole users; 0: all"},
          {"evaluate.rows_per_user", kInteger, "0", "[0, inf)", "rows", "at most so many of a user, the first in time; 0: all"},
          {"evaluate.calibration_rows", kInteger, "0", "[0, inf)", "rows",
           "valid rows, of users by whom no adapter was chosen (the encoder was chosen on all), that say how much of the encoder's "
           "logit is added to the served one; 0: none is",
           false},
          {"evaluate.models", kTextList, "untrained,global,experts,fused", "choices untrained|global|experts|fused", "",
           "language models that are scored, beside the counting baselines and the encoder", false},
          {"evaluate.k", kInteger, "5", "[1, 1000]", "", "of NDCG@k and MAP@k"},
          {"evaluate.bootstrap", kInteger, "1000", "[1, 1000000]", "resamples", "of users, for the intervals"},
      });
  return table;
}

}  // namespace

const OptionTable& recipe_options() {
  static const OptionTable kTable = make_table();
  return kTable;
}

}  // namespace thinkrec
