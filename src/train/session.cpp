#include "train/session.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "adapters/peft_folder.h"
#include "comm/nccl_collectives.h"
#include "comm/rank_threads.h"
#include "core/error.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "data/guard.h"
#include "data/sampler.h"
#include "io/file.h"
#include "model/weights.h"
#include "train/device.h"
#include "train/recipe_phases.h"
#include "train/run_identity.h"

namespace thinkrec {
namespace {

constexpr const char* kStartAdapter = "start-adapter";  // in the run directory: a copy of lora.start
constexpr std::chrono::seconds kLockWait(10);           // for the ranks of a life before to be gone
constexpr std::size_t kAlignment = 4096;  // the same for every world size, so that matrix products give the same bits

std::string required_path(const Recipe& recipe, const std::string& name, const char* remedy) {
  const std::string path = recipe.text(name);
  if (path.empty()) fail(ExitCode::kConfig, "{} is not set; {}", name, remedy);
  return path;
}

struct Difference {
  std::string name, ours, theirs;
};

/// The first option by which two recipes differ, of those that affect the result and that `counts` takes.
std::optional<Difference> first_difference(const Recipe& ours, const Recipe& theirs,
                                           const std::function<bool(const std::string&)>& counts) {
  const auto our_options = ours.affecting(), their_options = theirs.affecting();
  const auto value_in = [](const auto& options, const std::string& name) {
    const auto found = std::find_if(options.begin(), options.end(), [&](const auto& option) { return option.first == name; });
    return found == options.end() ? std::string("(none)") : found->second.substr(1, found->second.size() - 2);  // "[0.05]"
  };
  for (const auto* options : {&our_options, &their_options}) {
    for (const auto& [name, value] : *options) {
      Difference found{name, value_in(our_options, name), value_in(their_options, name)};
      if (counts(name) && found.ours != found.theirs) return found;
    }
  }
  return std::nullopt;
}

}  // namespace

SharedModel::SharedModel(const std::string& path, Collectives& world, at::TensorOptions options) {
  const auto source = ModelSource::open(path);
  node_ = world.split_by_node();
  const auto floats = static_cast<std::size_t>(weight_count(source->config()));
  memory_ = node_->allocate_shared(floats * sizeof(float) + kAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(memory_->bytes().data());
  auto* block = reinterpret_cast<float*>((address + kAlignment - 1) / kAlignment * kAlignment);
  // Each rank reads its share of the tensors and hashes its share of the files.
  const std::vector<std::string> files = source->weight_files();
  using Hex = std::array<char, 64>;
  std::vector<Hex> hashes(files.size(), Hex{});
  const auto rank = static_cast<std::size_t>(node_->rank()), size = static_cast<std::size_t>(node_->size());
  on_each_rank(*node_, [&] {
    source->read_part(block, node_->rank(), node_->size());
    for (std::size_t i = rank; i < files.size(); i += size) std::ranges::copy(sha256_file(files[i]), hashes[i].begin());
  });
  const std::vector<Hex> all = all_gather_values<Hex>(*node_, hashes);
  std::vector<std::string> of_files;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Hex& hash = all[i % size * files.size() + i];
    of_files.emplace_back(hash.begin(), hash.end());
  }
  hash_ = source->hash_of(of_files);
  node_->barrier();
  llama_ = std::make_unique<Llama>(source->config(), view_weights(source->config(), block));
  if (options.device().is_cpu()) return;
  llama_ = std::make_unique<Llama>(llama_->to(options));
  memory_.reset();
}

SharedModel::~SharedModel() = default;

Session::Session(Recipe recipe, std::string run_dir, Collectives& world, const RunAids& aids)
    : recipe_(std::move(recipe)), run_dir_(std::move(run_dir)), world_(world), aids_(aids) {
  const auto node = world.split_by_node();
  threads_ = rank_threads(recipe_.integer("run.threads"), ranks_on_own_cpus(*node));
  at::set_num_threads(threads_);
  if (strict()) set_up_strict_products();
  options_ = choose_device({recipe_.text("run.device"), recipe_.text("run.dtype"), recipe_.text("run.deterministic") != "off",
                            recipe_.text("run.matmul_precision")},
                           world);
  if (device().is_cuda() && world.size() > 1) {
    NcclOptions options;
    options.timeout_s = recipe_.real("run.collective_timeout");
    gpu_world_ = make_nccl_collectives(world.split(0), device().index(), options);
    if (aids_.watchdog != nullptr) gpu_world_ = aids_.watchdog->watch(std::move(gpu_world_), "gpu");
  }
  const std::string data = required_path(recipe_, "data.path", "make a data set with thinkrec_prepare");
  check_in_guard(data);
  dataset_ = load_dataset(data);
  data_hash_ = dataset_.hash();
  const std::string model = required_path(recipe_, "model.path", "give a Hugging Face folder or a .gguf file");
  const std::string tokenizer = recipe_.text("model.tokenizer");
  tokenizer_ = load_tokenizer(tokenizer.empty() ? model : tokenizer);
  model_ = std::make_unique<SharedModel>(model, world, options_);
  if (tokenizer_->size() > model_->llama().config().vocab) {
    fail(ExitCode::kBadData, "the tokenizer has {} tokens, the model embeds {}: they do not belong together", tokenizer_->size(),
         model_->llama().config().vocab);
  }
  log_info("data set '{}': {} users, {} items, {}/{}/{} train/valid/test rows, {} reasons", dataset_.name, dataset_.users.size(),
           dataset_.items.size(), dataset_.splits[0].size(), dataset_.splits[1].size(), dataset_.splits[2].size(),
           dataset_.reasons.size());
  const LlamaConfig& config = model_->llama().config();
  log_info("model: {} layers, width {}, vocabulary {}, {:.1f} M parameters, {} on {}; {} ranks, {} threads each", config.layers,
           config.width, config.vocab, static_cast<double>(weight_count(config)) / 1e6,
           options_.dtype() == at::kFloat ? "fp32" : "bf16", device().is_cpu() ? "the CPU" : "GPUs", world.size(), threads_);
}

Identity Session::identity(const std::string& run_dir, const Recipe& recipe) const {
  const auto stored = std::filesystem::path(run_dir) / "recipe.yaml";
  std::error_code ignored;
  const bool exists = std::filesystem::exists(stored, ignored);
  return {{"recipe", exists ? recipe_identity(Recipe::load(stored.string(), {}, recipe_options()), recipe) : recipe.hash()},
          {"data set", data_hash_},
          {"model", model_->hash()},
          {"tokenizer", tokenizer_->hash()},
          {"prompts", kPromptRules}};
}

CheckpointStore Session::store(const std::string& stage) const {
  return CheckpointStore(path("checkpoints/" + stage), identity(run_dir_, recipe_),
                         static_cast<int>(recipe_.integer("run.keep_last")), world_.size());
}

CheckpointStore Session::global_store(const std::string& stage) const {
  if (!inherits()) return store(stage);
  const std::filesystem::path origin = recipe_.text("activate.from");
  const Recipe other = Recipe::load((origin / "recipe.yaml").string(), {}, recipe_options());
  const auto shapes_global = [](const std::string& name) {  // the global adapter, that is
    for (const char* section :
         {"run.", "encoder.", "features.", "prompt.", "projector.", "lora.", "loss.", "mix.", "valid.", "activate."})
      if (name.starts_with(section)) return name != "activate.from";
    return false;
  };
  if (const auto found = first_difference(recipe_, other, shapes_global)) {
    fail(ExitCode::kConfig, "activate.from: {} was made with {} {}, this recipe says {}", origin.string(), found->name,
         found->theirs, found->ours);
  }
  return CheckpointStore((origin / "checkpoints" / stage).string(), identity(origin.string(), other),
                         static_cast<int>(recipe_.integer("run.keep_last")));
}

std::string Session::path(const std::string& name) const { return (std::filesystem::path(run_dir_) / name).string(); }

LoraConfig Session::lora() const {
  return {recipe_.integer("lora.rank"), recipe_.real("lora.alpha"), recipe_.real("lora.dropout")};
}

LoraAdapter Session::first_adapter() const {
  if (recipe_.text("lora.start").empty()) return LoraAdapter(model().config(), lora(), seed());
  const std::string run = inherits() ? recipe_.text("activate.from") : run_dir_;
  return start_adapter((std::filesystem::path(run) / kStartAdapter).string(), lora(), model().config());
}

LoraAdapter start_adapter(const std::string& folder, const LoraConfig& wanted, const LlamaConfig& model) {
  PeftAdapter start = load_peft_adapter(folder, model);
  if (start.config.lora_rank != wanted.lora_rank) {
    fail(ExitCode::kConfig, "lora.start: {} has r {}, lora.rank is {}: set lora.rank={}", folder, start.config.lora_rank,
         wanted.lora_rank, start.config.lora_rank);
  }
  if (std::abs(start.config.scale() - wanted.scale()) > 1e-6 * wanted.scale()) {
    fail(ExitCode::kConfig,
         "lora.start: {} scales by {:g} (lora_alpha over r), lora.alpha / lora.rank is {:g}: set lora.alpha={:g}", folder,
         start.config.scale(), wanted.scale(), start.config.alpha);
  }
  return std::move(start.adapter);
}

LossWeights Session::loss_weights() const {
  return {recipe_.real("loss.alpha"), recipe_.real("loss.beta"), recipe_.real("loss.eta"), recipe_.real("loss.gamma")};
}

PromptConfig Session::prompt(const std::string& template_name) const { return prompt_config(recipe_, template_name); }

std::vector<std::int64_t> sample_train_rows(const Dataset& dataset, std::int64_t limit, std::int64_t together,
                                            std::uint64_t seed) {
  std::vector<std::int64_t> train = dataset.rows(Split::kTrain);
  if (limit == 0 || limit >= static_cast<std::int64_t>(train.size())) return train;
  std::sort(train.begin(), train.end());  // by user, then time
  // Runs of neighbouring rows of a user, each up to `together` long: where they begin.
  std::vector<std::size_t> begin;
  for (std::size_t i = 0; i < train.size(); ++i) {
    const auto user = [&](std::size_t place) { return dataset.user[static_cast<std::size_t>(train[place])]; };
    if (begin.empty() || user(i) != user(i - 1) || static_cast<std::int64_t>(i - begin.back()) == together) begin.push_back(i);
  }
  const auto runs = static_cast<std::int64_t>(begin.size());
  begin.push_back(train.size());
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < runs && static_cast<std::int64_t>(rows.size()) < limit; ++i) {
    const auto run = static_cast<std::size_t>(permuted(i, runs, seed, 13, 0));
    for (std::size_t place = begin[run]; place < begin[run + 1] && static_cast<std::int64_t>(rows.size()) < limit; ++place)
      rows.push_back(train[place]);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<std::int64_t> sample_rows(const Dataset& dataset, Split split, std::int64_t limit, std::int64_t per_user,
                                      std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> of_user(dataset.users.size());
  for (const std::int64_t row : dataset.rows(split))
    of_user[static_cast<std::size_t>(dataset.user[static_cast<std::size_t>(row)])].push_back(row);
  std::vector<std::int64_t> users;
  for (std::size_t u = 0; u < of_user.size(); ++u) {
    if (!of_user[u].empty()) users.push_back(static_cast<std::int64_t>(u));
  }
  std::vector<std::int64_t> chosen;
  const auto count = static_cast<std::int64_t>(users.size());
  for (std::int64_t i = 0; i < count && (limit == 0 || static_cast<std::int64_t>(chosen.size()) < limit); ++i) {
    auto& rows = of_user[static_cast<std::size_t>(users[static_cast<std::size_t>(permuted(i, count, seed, 7, 0))])];
    std::sort(rows.begin(), rows.end());  // interaction order is time order within a user
    if (per_user > 0 && static_cast<std::int64_t>(rows.size()) > per_user) rows.resize(static_cast<std::size_t>(per_user));
    chosen.insert(chosen.end(), rows.begin(), rows.end());
  }
  std::sort(chosen.begin(), chosen.end());  // by user, then time
  return chosen;
}

namespace {

/// The run keeps what it began with, whatever becomes of the folder; one that has changed since is refused.
void keep_start_adapter(const std::string& run_dir, const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path copy = fs::path(run_dir) / kStartAdapter, from(folder);
  const char *const settings = "adapter_config.json", *const factors = "adapter_model.safetensors";
  if (fs::exists(copy / settings)) {
    if (fs::exists(from / settings) && peft_folder_hash(folder) != peft_folder_hash(copy.string()))
      fail(ExitCode::kConfig, "lora.start: {} is not the adapter that {} began with; use a new --run-dir", folder, run_dir);
    return;
  }
  make_folder(copy.string());
  for (const char* file : {factors, settings}) write_file_atomic((copy / file).string(), read_file((from / file).string()));
}

}  // namespace

std::unique_ptr<FileLock> claim_run_dir(const std::string& run_dir, const Recipe& recipe, Collectives& world) {
  std::unique_ptr<FileLock> lock;
  on_rank_zero(world, [&] {
    const auto path = (std::filesystem::path(run_dir) / "recipe.yaml").string();
    make_folder(run_dir);
    lock = std::make_unique<FileLock>((std::filesystem::path(run_dir) / "lock").string(), kLockWait);
    if (!lock->held()) {
      fail(ExitCode::kUsage,
           "{}: another thinkrec_train is at work on this run; wait until it has ended, or use another --run-dir", run_dir);
    }
    if (!std::filesystem::exists(path)) {
      write_file_atomic(path, recipe.resolved());
    } else {
      const Recipe before = Recipe::load(path, {}, recipe_options());
      if (const auto found = first_difference(recipe, before, [](const std::string&) { return true; })) {
        fail(ExitCode::kConfig,
             "{} belongs to a run of another recipe: there {} is {}, here {}; use a new --run-dir, or the recipe it was made "
             "with",
             run_dir, found->name, found->theirs, found->ours);
      }
    }
    if (const std::string start = recipe.text("lora.start"); !start.empty() && recipe.text("activate.from").empty())
      keep_start_adapter(run_dir, start);
  });
  return lock;
}

}  // namespace thinkrec
