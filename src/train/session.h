#pragma once
// What every stage of a run needs, opened once: recipe, data set, tokenizer, base model (one copy a node), ranks.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/lora.h"
#include "adapters/projector.h"
#include "checkpoint/checkpoint.h"
#include "comm/collectives.h"
#include "comm/watchdog.h"
#include "core/recipe.h"
#include "data/dataset.h"
#include "data/prompt.h"
#include "io/file.h"
#include "model/llama.h"
#include "report/status.h"
#include "text/tokenizer.h"
#include "train/faults.h"
#include "train/row_losses.h"

namespace thinkrec {

/// The base model with its weights in memory that the ranks of a node share.
class SharedModel {
 public:
  /// Collective over `world`: one rank of each node reads, all see the same pages, or copy them to their GPU. Errors as ModelSource.
  SharedModel(const std::string& path, Collectives& world, at::TensorOptions options = at::kFloat);
  ~SharedModel();
  const Llama& llama() const { return *llama_; }
  const std::string& hash() const { return hash_; }

 private:
  std::unique_ptr<Collectives> node_;
  std::unique_ptr<SharedMemory> memory_;
  std::unique_ptr<Llama> llama_;
  std::string hash_;
};

/// What stands beside a run; null where it is not wanted.
struct RunAids {
  Watchdog* watchdog = nullptr;  ///< it has made the run's world, too
  FaultInjector* faults = nullptr;
  StatusFile* status = nullptr;
};

class Session {
 public:
  /// Collective. Chooses the device (device.h), reads data set, tokenizer and model named by the recipe; sets the threads of this rank.
  Session(Recipe recipe, std::string run_dir, Collectives& world, const RunAids& aids = {});

  const Recipe& recipe() const { return recipe_; }
  const std::string& run_dir() const { return run_dir_; }
  Collectives& world() const { return gpu_world_ ? *gpu_world_ : world_; }
  at::Device device() const { return options_.device(); }
  const Dataset& dataset() const { return dataset_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Llama& model() const { return model_->llama(); }
  const std::string& model_hash() const { return model_->hash(); }  ///< SHA-256 of its files
  int threads() const { return threads_; }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(recipe_.integer("run.seed")); }
  bool strict() const { return recipe_.text("run.deterministic") == "strict"; }
  bool leader() const { return world_.rank() == 0; }
  /// Tells the watchdog what comes now, where there is one.
  void enter_stage(const std::string& what) const {
    if (aids_.watchdog != nullptr) aids_.watchdog->quiet(what);
  }
  /// The same of a step, and the status file; returns the fault that it is to have.
  StepFault enter_step(const std::string& what, std::int64_t step) const {
    if (aids_.watchdog != nullptr) aids_.watchdog->step(what, step);
    if (aids_.status != nullptr) aids_.status->step(what, step);
    return aids_.faults != nullptr ? aids_.faults->before_step() : StepFault{};
  }
  /// Tells the watchdog that what comes may wait long for the disk, up to the next step or stage.
  void enter_save() const {
    if (aids_.watchdog != nullptr) aids_.watchdog->slow();
  }
  /// Does not return from a fault that is due in this validation.
  void enter_validation() const {
    if (aids_.faults != nullptr) aids_.faults->in_validation();
  }

  /// The run's status file; null where it is not wanted.
  StatusFile* status() const { return aids_.status; }

  /// A store for <run>/checkpoints/<stage>, tied to this recipe, data set, model and tokenizer.
  CheckpointStore store(const std::string& stage) const;
  /// The same for the stages up to the global adapter: those of activate.from, where it is given, which must come from a recipe that made
  /// them as this one would (kConfig naming the first option that differs) and is then only read.
  CheckpointStore global_store(const std::string& stage) const;
  bool inherits() const { return !recipe_.text("activate.from").empty(); }
  std::string path(const std::string& name) const;  ///< <run>/<name>
  LoraConfig lora() const;
  /// The adapter that training begins with: the run's copy of lora.start, or a fresh one. Errors as start_adapter.
  LoraAdapter first_adapter() const;
  LossWeights loss_weights() const;
  /// Prompt settings with the named template ("thinkrec" or "text").
  PromptConfig prompt(const std::string& template_name) const;

 private:
  Identity identity(const std::string& run_dir, const Recipe& recipe) const;

  Recipe recipe_;
  std::string run_dir_;
  Collectives& world_;
  RunAids aids_;
  at::TensorOptions options_;  // where and as what the model runs
  std::unique_ptr<Collectives> gpu_world_;
  Dataset dataset_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<SharedModel> model_;
  int threads_ = 1;
  std::string data_hash_;
};

/// Train rows for the language model: all, or a seeded sample of `limit` (0: all) made of runs of up to `together` (1 or more) neighbouring
/// rows of a user, by user and time.
std::vector<std::int64_t> sample_train_rows(const Dataset& dataset, std::int64_t limit, std::int64_t together,
                                            std::uint64_t seed);

/// Rows of a split for validation or evaluation: all of them, or whole users in a seeded order, at most `per_user` rows of each (the
/// first in time), until there are `limit` rows or more. Sorted by user, then time.
std::vector<std::int64_t> sample_rows(const Dataset& dataset, Split split, std::int64_t limit, std::int64_t per_user,
                                      std::uint64_t seed);

/// The adapter of a PEFT folder, for a training with these settings. Errors as load_peft_adapter; kConfig naming the setting when rank or
/// scale is another.
LoraAdapter start_adapter(const std::string& folder, const LoraConfig& wanted, const LlamaConfig& model);

/// Locks a new or existing run directory for this job, as long as what rank 0 gets is kept, and holds it to the recipe: writes recipe.yaml
/// and a copy of lora.start, or compares. kUsage when another job has it, kConfig naming the first option that differs. Collective.
std::unique_ptr<FileLock> claim_run_dir(const std::string& run_dir, const Recipe& recipe, Collectives& world);

}  // namespace thinkrec
