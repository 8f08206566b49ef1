#include "train/dry_run.h"

#include <ATen/Parallel.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "comm/rank_threads.h"
#include "core/error.h"
#include "core/joined.h"
#include "data/guard.h"
#include "data/sampler.h"
#include "eval/statistics.h"
#include "experts/schedule.h"
#include "io/file.h"
#include "model/ops.h"
#include "train/device.h"
#include "train/dry_run_report.h"
#include "train/peak.h"
#include "train/prompt_room.h"
#include "train/stages.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFloat = 4, kMiB = 1 << 20;
/// What MPI_Init adds to a rank in shared memory and code: Open MPI 4.1 on one node (tests/app/dry_run_test.py holds the sum to a run).
constexpr std::int64_t kMpiBytes = 20 * kMiB;
/// Code that only a run executes (grouping, evaluation, HDF5's writing, the report) with its small tables: 4 MiB measured on a Xeon, 10-24 on
/// an AMD Zen 3, whose libtorch runs other kernels.
constexpr std::int64_t kRunCodeBytes = 11 * kMiB;
/// Assumed, not measured: a CUDA context with cuBLAS's workspace, and NCCL's buffers.
constexpr std::int64_t kGpuContextBytes = 600 * kMiB, kNcclBytes = 400 * kMiB;
/// What glibc's heap holds beside the activations once passes of other lengths have come and gone: a share of a pass, measured on
/// SmolLM2-135M (docs/cluster.md).
constexpr double kHeapShare = 0.27;
constexpr std::int64_t kCountedRows = 20000;
constexpr int kBatchesAhead = 5;  // ReadAhead's depth and the one in use

struct ModelFacts {
  LlamaConfig config;
  bool at_hand = false;
};

ModelFacts read_model(const std::string& path) {
  const fs::path place(path);
  const auto has_weights = [&] {
    for (const auto& entry : fs::directory_iterator(place)) {
      if (entry.path().extension() == ".safetensors") return true;
    }
    return false;
  };
  const bool folder = fs::is_directory(place);
  if (place.extension() != ".json" && (!folder || has_weights())) return {ModelSource::open(path)->config(), true};
  const std::string config = folder ? (place / "config.json").string() : path;
  return {parse_hf_config(read_file(config, 1 << 20), config), false};
}

std::unique_ptr<Tokenizer> read_tokenizer(const Recipe& recipe, const ModelFacts& model) {
  const std::string path = recipe.text("model.path"), given = recipe.text("model.tokenizer");
  if (given.empty() && !model.at_hand) {
    const fs::path place(path);
    if (!fs::is_directory(place) || (!fs::exists(place / "tokenizer.json") && !fs::exists(place / "tokenizer.model"))) {
      fail(ExitCode::kConfig,
           "{}: no tokenizer beside the configuration; set model.tokenizer, to that of another model for about the same lengths",
           path);
    }
  }
  auto tokenizer = load_tokenizer(given.empty() ? path : given);
  if (tokenizer->size() > model.config.vocab) {
    fail(ExitCode::kBadData, "the tokenizer has {} tokens, the model embeds {}: they do not belong together", tokenizer->size(),
         model.config.vocab);
  }
  return tokenizer;
}

/// fp32 values of an encoder (sasrec_net.cpp, factorization.cpp), and the width of what it gives a slot.
struct EncoderSize {
  std::int64_t values = 0, width = 0;
};
EncoderSize encoder_size(const EncoderConfig& config, const Dataset& dataset) {
  const auto items = static_cast<std::int64_t>(dataset.items.size()), users = static_cast<std::int64_t>(dataset.users.size());
  const std::int64_t d = config.width;
  if (config.kind != "sasrec") return {(users + items + (config.biases ? 2 : 0)) * d, d + (config.recency > 0 ? 1 : 0)};
  const std::int64_t net = items * d + (config.max_length + 10) * d + config.blocks * (8 * d * d + 8 * d);
  return {net + (config.fold_in ? (users + items) * d : 0), config.fold_in ? 2 * d : d};
}

class Planner {
 public:
  Planner(const Recipe& recipe, const DryRunSetting& setting)
      : recipe_(recipe), setting_(setting), gpu_(setting.gpu.empty() ? nullptr : &gpu_kind(setting.gpu)) {
    if (gpu_ == nullptr && recipe.text("run.device") == "cuda")
      fail(ExitCode::kUsage, "run.device is cuda: say which GPU by --gpu ({}), or set run.device=cpu", gpu_names());
    if (gpu_ == nullptr && recipe.text("run.dtype") == "bf16")
      fail(ExitCode::kConfig, "run.dtype bf16 is for GPUs, and this run is on the CPU: use fp32 or auto, or name a --gpu");
    if (gpu_ != nullptr && recipe.text("run.device") == "cpu")
      fail(ExitCode::kUsage, "--gpu {}, but run.device is cpu: set run.device=auto", setting.gpu);
  }

  DryRun run() {
    open();
    plan_encoder();
    if (wants("activate") && recipe_.text("activate.from").empty()) plan_activate();
    if (wants("expert")) plan_experts_stage();
    if (wants("evaluate") && mean_tokens_ == 0) count_served_prompts();
    measure();
    if (wants("evaluate")) plan_evaluation();
    check();
    return {dry_run_json(plan_), dry_run_text(plan_), plan_.problems};
  }

 private:
  bool wants(const char* stage) const { return setting_.stages.empty() || setting_.stages.contains(stage); }
  std::int64_t value_bytes() const { return gpu_ != nullptr && recipe_.text("run.dtype") != "fp32" ? 2 : 4; }

  void open() {
    const std::string data = recipe_.text("data.path");
    check_in_guard(data);
    dataset_ = load_dataset(data);
    model_ = read_model(recipe_.text("model.path"));
    tokenizer_ = read_tokenizer(recipe_, model_);
    if (const std::string start = recipe_.text("lora.start"); !start.empty())
      start_adapter(start, {recipe_.integer("lora.rank"), recipe_.real("lora.alpha"), recipe_.real("lora.dropout")},
                    model_.config);
    encoder_ = encoder_size(encoder_config(recipe_, recipe_.text("encoder.kind")), dataset_);
    if (recipe_.flag("features.statistics")) encoder_.width += static_cast<std::int64_t>(RowStatistics::kCount) + 1;
    train_ = sample_train_rows(dataset_, recipe_.integer("mix.train_rows"), recipe_.integer("mix.rows_per_user"), seed());
    valid_ = sample_rows(dataset_, Split::kValid, recipe_.integer("valid.rows"), recipe_.integer("valid.rows_per_user"), seed());
    for (const Reason& reason : dataset_.reasons) reasons_.push_back(&reason);
    if (const std::string problem = prompt_room_problem(dataset_, *tokenizer_, recipe_, setting_.stages); !problem.empty())
      fail(ExitCode::kBadData, "{}", problem);
    describe_inputs();
    const int per_node = setting_.ranks_per_node > 0 ? setting_.ranks_per_node : gpu_ != nullptr ? 8 : setting_.ranks;
    plan_.ranks = setting_.ranks;
    plan_.ranks_per_node = std::min(per_node, setting_.ranks);
    plan_.threads = rank_threads(recipe_.integer("run.threads"), plan_.ranks_per_node);
    const double threads = plan_.ranks_per_node * plan_.threads;
    plan_.sharing = gpu_ != nullptr ? 1.0 : std::max(1.0, threads / allowed_cpus());
    at::set_num_threads(plan_.threads);
    if (gpu_ == nullptr) set_up_cpu_memory();  // the speed is that of a run
  }

  void describe_inputs() {
    const auto count = [](const auto& of) { return static_cast<std::int64_t>(of.size()); };
    plan_.data = {recipe_.text("data.path"),
                  dataset_.name,
                  count(dataset_.users),
                  count(dataset_.items),
                  count(dataset_.reasons),
                  {count(dataset_.splits[0]), count(dataset_.splits[1]), count(dataset_.splits[2])},
                  count(train_)};
    plan_.tokenizer_tokens = tokenizer_->size();
    plan_.model = {recipe_.text("model.path"), model_.config, model_.at_hand, value_bytes()};
    plan_.gpu = gpu_;
    plan_.mfu = setting_.mfu;
    if (setting_.memory_gib > 0) {
      plan_.bound_bytes = setting_.memory_gib * 1024 * static_cast<double>(kMiB);
    } else if (gpu_ != nullptr) {
      plan_.bound_bytes = gpu_->memory_bytes;
    }
  }

  std::uint64_t seed() const { return static_cast<std::uint64_t>(recipe_.integer("run.seed")); }

  CeSpan span() const { return recipe_.text("loss.span") == "all" ? CeSpan::kAll : CeSpan::kAnswer; }

  TeamSetting team(int ranks) const {
    TeamSetting team;
    team.ranks = ranks;
    team.micro_tokens = recipe_.integer("run.micro_tokens");
    team.strict = recipe_.text("run.deterministic") == "strict";
    team.rows_per_user = recipe_.integer("mix.rows_per_user");
    team.share = team.rows_per_user > 1 && !team.strict && gpu_ == nullptr;
    team.reason_share = recipe_.real("mix.reason_share");
    return team;
  }

  /// Lengths of the prompts of a template, of rows spread evenly over the train rows.
  void count_prompts(const std::string& name, const PromptBuilder& prompts) {
    const auto stride = std::max<std::int64_t>(1, static_cast<std::int64_t>(train_.size()) / kCountedRows);
    std::vector<std::int64_t> tokens;
    for (std::size_t i = 0; i < train_.size(); i += static_cast<std::size_t>(stride))
      tokens.push_back(prompts.recommendation_tokens(train_[i]) - 1);
    std::sort(tokens.begin(), tokens.end());
    const auto at = [&](double share) {
      return tokens[static_cast<std::size_t>(share * static_cast<double>(tokens.size() - 1))];
    };
    const double mean = std::accumulate(tokens.begin(), tokens.end(), 0.0) / static_cast<double>(tokens.size());
    if (std::none_of(plan_.prompts.begin(), plan_.prompts.end(), [&](const PromptLengths& of) { return of.name == name; })) {
      plan_.prompts.push_back(
          {name, tokens.size(), mean, at(0.05), at(0.5), at(0.95), at(0.99), tokens.back(), prompts.in_pieces()});
    }
    mean_tokens_ = mean;
    if (tokens.back() >= model_.config.max_positions) {
      plan_.problems.push_back(
          fmt::format("the longest prompt has {} tokens, the model {} positions: lower prompt.max_tokens or prompt.history",
                      tokens.back(), model_.config.max_positions));
    }
  }

  /// What every rank holds in every stage.
  MemoryParts common() const {
    MemoryParts parts;
    const std::int64_t rope = std::min<std::int64_t>(model_.config.max_positions, 1 << 17) * model_.config.head_width * kFloat;
    parts.add("weights", weight_count(model_.config) * value_bytes() + rope);
    if (gpu_ != nullptr) {
      parts.add("CUDA context and cuBLAS", kGpuContextBytes);
      if (setting_.ranks > 1) parts.add("NCCL", kNcclBytes);
    }
    return parts;
  }

  /// Both on a CPU alone, and both of a pass: they grow with it.
  std::int64_t workspace_bytes(std::int64_t tokens) const {
    const std::int64_t side = std::max(model_.config.vocab, kPeakSide);
    return ops::product_workspace_bytes(std::max(tokens, kPeakSide), side, side, at::get_num_threads());
  }
  std::int64_t heap_bytes(std::int64_t saved) const { return static_cast<std::int64_t>(kHeapShare * static_cast<double>(saved)); }

  void add_phase(PlannedPhase phase, std::span<const PlannedLane> lanes, std::int64_t trained, std::int64_t held) {
    const std::int64_t batch = lanes[0].config.batch * phase.lanes;
    phase.memory = common();
    MemoryParts& parts = phase.memory;
    parts.add("adapters and projector", held * kFloat);
    parts.add("gradients and AdamW", 3 * trained * phase.lanes * kFloat);
    // One of each row of the fullest rank, as many as of another, about, and their sum.
    if (recipe_.text("run.deterministic") == "strict")
      parts.add("gradients of rows", ((batch + plan_.ranks - 1) / plan_.ranks + 1) * trained * kFloat);
    parts.add("activations", phase.plan.largest_bytes.saved);
    parts.add("logits or gradients in flight", phase.plan.largest_bytes.peak - phase.plan.largest_bytes.saved);
    parts.add("hidden states kept", phase.plan.cached_bytes);
    if (gpu_ == nullptr) {
      parts.add("workspace of products", workspace_bytes(phase.plan.largest.tokens));
      parts.add("heap between passes", heap_bytes(phase.plan.largest_bytes.saved));
      const auto rows = kBatchesAhead * batch + static_cast<std::int64_t>(valid_.size());
      parts.add("rows read ahead", static_cast<std::int64_t>(static_cast<double>(rows) * mean_tokens_) * kFloat);
      parts.add("best parameters, checkpoint being written", 5 * trained * phase.lanes * kFloat);
      parts.add("encoder and features",
                (encoder_.values + 2 * static_cast<std::int64_t>(dataset_.items.size()) * encoder_.width) * kFloat);
    }
    phase.trained = trained;
    phase.step_rows = batch;
    const std::int64_t every = lanes[0].config.validate_every;
    const double validations = every > 0 ? static_cast<double>((phase.plan.steps + every - 1) / every) : 1.0;
    validation_flops_.push_back(validations * phase.lanes * scoring_flops(static_cast<std::int64_t>(valid_.size()), 0) /
                                phase.ranks);
    plan_.phases.push_back(std::move(phase));
  }

  /// Where no phase is planned that counts its own.
  void count_served_prompts() {
    const std::string name = phase_template(recipe_, phase_count(recipe_) - 1);
    count_prompts(name, PromptBuilder(dataset_, *tokenizer_, prompt_config(recipe_, name)));
  }

  /// Scoring of rows by layers first and up.
  double scoring_flops(std::int64_t rows, std::int64_t first) const {
    const auto tokens = static_cast<std::int64_t>(mean_tokens_);
    const PassShape row{tokens, 1, static_cast<double>(tokens) * static_cast<double>(tokens)};
    return static_cast<double>(rows) *
           forward_flops(model_.config, row, first, model_.config.layers, recipe_.integer("lora.rank"));
  }

  std::int64_t projector() const {
    return projector_values(encoder_.width, model_.config.width, recipe_.integer("projector.expansion"));
  }
  std::int64_t soft() const { return most_soft_tokens(recipe_) * model_.config.width; }
  std::int64_t lora(std::int64_t first_layer) const {
    return lora_values(model_.config, recipe_.integer("lora.rank"), first_layer);
  }

  void plan_encoder() {
    plan_.encoder_memory = common();
    // Values, gradients, two moments, running mean and the best so far.
    if (gpu_ == nullptr) plan_.encoder_memory.add("encoder in training", 6 * encoder_.values * kFloat);
  }

  void plan_activate() {
    for (std::int64_t i = 0; i < phase_count(recipe_); ++i) {
      const PhaseConfig config = activate_phase(recipe_, i);
      const std::string name = phase_template(recipe_, i);
      const PromptBuilder prompts(dataset_, *tokenizer_, prompt_config(recipe_, name));
      count_prompts(name, prompts);
      RowLengths lengths(prompts, span());
      PlannedPhase phase;
      phase.stage = config.stage;
      phase.ranks = setting_.ranks;
      phase.kind = {0,
                    config.train_projector || config.train_soft,
                    recipe_.integer("lora.rank"),
                    value_bytes(),
                    gpu_ != nullptr,
                    recipe_.flag("run.activation_checkpointing")};
      const PlannedLane lane{config, {train_, reasons_, valid_}};
      phase.plan =
          plan_team(recipe_, model_.config, phase.kind, std::span(&lane, 1), team(setting_.ranks), dataset_.user, lengths);
      const std::int64_t trained =
          (config.train_lora ? lora(0) : 0) + (config.train_projector ? projector() : 0) + (config.train_soft ? soft() : 0);
      add_phase(std::move(phase), std::span(&lane, 1), trained, lora(0) + projector() + soft());
    }
  }

  void plan_experts_stage() {
    const int experts = static_cast<int>(recipe_.integer("group.count"));
    const std::string name = phase_template(recipe_, phase_count(recipe_) - 1);
    const PromptBuilder prompts(dataset_, *tokenizer_, prompt_config(recipe_, name));
    count_prompts(name, prompts);
    RowLengths lengths(prompts, span());
    // Groups are not known before the encoder is: users are dealt out evenly.
    std::vector<PlannedLane> lanes;
    const auto users = static_cast<std::int64_t>(dataset_.users.size());
    const auto member = [&](std::int64_t row, int expert) {
      return permuted(dataset_.user[static_cast<std::size_t>(row)], users, seed(), 17, 0) % experts == expert;
    };
    std::vector<std::int64_t> tokens;
    for (int e = 0; e < experts; ++e) {
      PlannedLane lane{expert_phase(recipe_, model_.config.layers, e), {}};
      std::copy_if(train_.begin(), train_.end(), std::back_inserter(lane.rows.train),
                   [&](std::int64_t row) { return member(row, e); });
      std::copy_if(reasons_.begin(), reasons_.end(), std::back_inserter(lane.rows.reasons),
                   [&](const Reason* reason) { return member(reason->row, e); });
      if (lane.rows.train.empty()) lane.rows.train = train_;
      if (lane.rows.reasons.empty()) lane.rows.reasons = reasons_;
      tokens.push_back(expected_tokens(lane.config, lane.rows.train, prompts));
      lanes.push_back(std::move(lane));
    }
    const ExpertPlan plan = plan_experts(tokens, setting_.ranks);
    for (std::size_t t = 0; t < plan.experts_of_team.size(); ++t) {
      const std::vector<int>& names = plan.experts_of_team[t];
      std::vector<PlannedLane> own;
      for (const int e : names) own.push_back(lanes[static_cast<std::size_t>(e)]);
      PlannedPhase phase;
      phase.stage = fmt::format("expert/{}", joined(names, "+"));
      phase.ranks = static_cast<int>(std::count(plan.team_of_rank.begin(), plan.team_of_rank.end(), static_cast<int>(t)));
      phase.expert = true;
      phase.lanes = static_cast<int>(names.size());
      phase.kind = {own[0].config.first_layer,
                    false,
                    recipe_.integer("lora.rank") * phase.lanes,
                    value_bytes(),
                    gpu_ != nullptr,
                    recipe_.flag("run.activation_checkpointing")};
      phase.plan = plan_team(recipe_, model_.config, phase.kind, own, team(phase.ranks), dataset_.user, lengths);
      add_phase(std::move(phase), own, lora(own[0].config.first_layer), (1 + experts) * lora(0) + projector() + soft());
    }
  }

  /// The speed of this machine, and what this process holds after that: the program, libtorch and the data, as a rank has them.
  void measure() {
    std::int64_t largest = 0;  // a phase without steps has no pass
    for (const PlannedPhase& phase : plan_.phases) largest = std::max(largest, phase.plan.largest.tokens);
    if (largest == 0) largest = recipe_.integer("run.micro_tokens");
    double rate = 0;
    if (gpu_ != nullptr) {
      rate = gpu_->bf16_flops * setting_.mfu * (value_bytes() == 2 ? 1.0 : 0.5);
    } else {
      plan_.layer = measure_layer(model_.config, largest, std::max<std::int64_t>(1, static_cast<std::int64_t>(mean_tokens_)),
                                  recipe_.integer("lora.rank"));
      rate = plan_.layer.flops_per_second / plan_.sharing;
    }
    plan_.rate = rate;
    for (std::size_t i = 0; i < plan_.phases.size(); ++i) {
      plan_.phases[i].seconds = plan_.phases[i].plan.critical_flops / rate;
      plan_.phases[i].validation_seconds = validation_flops_[i] / rate;
    }
    ::malloc_trim(0);
    plan_.base_bytes = resident_bytes();
    if (gpu_ != nullptr) return;
    for (MemoryParts* parts : memories()) {
      parts->add("program, libtorch and data", plan_.base_bytes + kRunCodeBytes);
      parts->add("MPI", kMpiBytes);
    }
  }

  std::vector<MemoryParts*> memories() {
    std::vector<MemoryParts*> all = {&plan_.encoder_memory};
    for (PlannedPhase& phase : plan_.phases) all.push_back(&phase.memory);
    return all;
  }

  void plan_evaluation() {
    const auto rows =
        static_cast<std::int64_t>(sample_rows(dataset_, parse_split(recipe_.text("evaluate.split")),
                                              recipe_.integer("evaluate.rows"), recipe_.integer("evaluate.rows_per_user"), seed())
                                      .size());
    const std::int64_t first = first_expert_layer(recipe_, model_.config.layers);
    const auto models = recipe_.list("evaluate.models");
    const auto has = [&](const char* name) { return std::find(models.begin(), models.end(), name) != models.end(); };
    double tops = (has("global") ? 1 : 0) + (has("fused") ? 1 : 0);
    if (has("experts")) tops += static_cast<double>(recipe_.integer("group.count"));
    double flops = has("untrained") ? scoring_flops(rows, 0) : 0;
    if (tops > 0) flops += scoring_flops(rows, 0) - scoring_flops(rows, first) + tops * scoring_flops(rows, first);
    plan_.evaluated_rows = rows;
    plan_.evaluation_seconds = flops / (plan_.rate * setting_.ranks);
  }

  /// Most run.micro_tokens with which a phase fits, less than its longest row when none does; 0 for one without steps.
  std::int64_t most_micro_tokens(const PlannedPhase& phase) const {
    const PassShape& like = phase.plan.largest;
    if (like.tokens == 0) return 0;
    const auto of_pass = [&](std::int64_t tokens, const PassBytes& bytes) {
      return bytes.peak + (gpu_ != nullptr ? 0 : workspace_bytes(tokens) + heap_bytes(bytes.saved));
    };
    const std::int64_t fixed = phase.memory.sum() - of_pass(like.tokens, phase.plan.largest_bytes);
    const auto bytes = [&](std::int64_t tokens) {
      const double share = static_cast<double>(tokens) / static_cast<double>(like.tokens);
      const auto read = static_cast<std::int64_t>(std::ceil(static_cast<double>(like.read) * share));
      const PassShape pass{tokens, std::max<std::int64_t>(1, read), 0};
      return static_cast<double>(fixed + of_pass(tokens, pass_bytes(model_.config, pass, phase.kind)));
    };
    std::int64_t low = 0, high = std::int64_t{1} << 24;
    while (low + 1 < high) {
      const std::int64_t middle = low + (high - low) / 2;
      (bytes(middle) <= plan_.bound_bytes ? low : high) = middle;
    }
    return low;
  }

  void check() {
    plan_.free_bytes = free_disk();
    for (const PlannedPhase& phase : plan_.phases) {
      plan_.largest_checkpoint = std::max(plan_.largest_checkpoint, phase.checkpoint_bytes());
      plan_.disk_bytes += recipe_.integer("run.keep_last") * phase.checkpoint_bytes() * phase.lanes;
    }
    plan_.disk_bytes += encoder_.values * kFloat + plan_.largest_checkpoint;
    if (plan_.free_bytes >= 0 && plan_.disk_bytes > plan_.free_bytes) {
      plan_.problems.push_back(
          fmt::format("checkpoints take {}, the disk has {} free: lower run.keep_last, or use another --run-dir",
                      memory_text(static_cast<double>(plan_.disk_bytes)), memory_text(static_cast<double>(plan_.free_bytes))));
    }
    if (plan_.bound_bytes > 0) {
      for (PlannedPhase& phase : plan_.phases) phase.most_micro_tokens = most_micro_tokens(phase);
    }
    const PlannedPhase* phase = plan_.fullest();
    if (plan_.bound_bytes == 0 || phase == nullptr || static_cast<double>(phase->memory.sum()) <= plan_.bound_bytes) return;
    const std::int64_t fit = phase->most_micro_tokens;
    std::string remedy;
    PlannedPhase recomputing = *phase;
    recomputing.kind.recompute = true;
    if (fit >= phase->plan.longest_row) {
      remedy = fmt::format("set run.micro_tokens={} or less", fit);
    } else if (!phase->kind.recompute && most_micro_tokens(recomputing) >= phase->plan.longest_row) {
      remedy =
          fmt::format("set run.activation_checkpointing=true and run.micro_tokens={} or less", most_micro_tokens(recomputing));
    } else if (static_cast<double>(phase->memory.sum() - phase->plan.largest_bytes.peak) < plan_.bound_bytes) {
      remedy = fmt::format("only {} tokens fit, and the longest row has {}: lower prompt.max_tokens or prompt.history", fit,
                           phase->plan.longest_row);
    } else {
      remedy =
          "what does not depend on the prompts is more already: use a smaller model or a GPU with more memory, or lower expert.cache_mb";
    }
    plan_.problems.push_back(fmt::format("a rank needs {} in '{}' and has {}: {}",
                                         memory_text(static_cast<double>(phase->memory.sum())), phase->stage,
                                         memory_text(plan_.bound_bytes), remedy));
  }

  /// Of the folder that holds the run directory, or would; -1: not known.
  std::int64_t free_disk() const {
    fs::path place = fs::absolute(setting_.run_dir.empty() ? "." : setting_.run_dir);
    std::error_code error;
    while (!fs::exists(place, error) && place.has_parent_path() && place != place.parent_path()) place = place.parent_path();
    const auto space = fs::space(place, error);
    return error ? -1 : static_cast<std::int64_t>(space.available);
  }

  const Recipe& recipe_;
  const DryRunSetting& setting_;
  const GpuKind* gpu_;
  Dataset dataset_;
  ModelFacts model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  EncoderSize encoder_;
  std::vector<std::int64_t> train_, valid_;
  std::vector<const Reason*> reasons_;
  double mean_tokens_ = 0;
  std::vector<double> validation_flops_;
  DryRunPlan plan_;
};

}  // namespace

std::int64_t resident_bytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

DryRun dry_run(const Recipe& recipe, const DryRunSetting& setting) { return Planner(recipe, setting).run(); }

}  // namespace thinkrec
