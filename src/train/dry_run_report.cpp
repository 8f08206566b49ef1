#include "train/dry_run_report.h"

#include "report/progress.h"
#include "report/table.h"

namespace thinkrec {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMiB = 1 << 20;

Json phase_json(const DryRunPlan& run, const PlannedPhase& phase) {
  const TeamPlan& plan = phase.plan;
  Json memory = Json::object();
  for (const auto& [name, bytes] : phase.memory.of) memory[name] = bytes;
  Json out = {{"stage", phase.stage},
              {"ranks", phase.ranks},
              {"experts_at_once", phase.expert ? phase.lanes : 0},
              {"steps", plan.steps},
              {"steps_planned", plan.planned},
              {"tokens", plan.tokens},
              {"tokens_per_step", plan.step_tokens},
              {"balance", plan.balance},
              {"most_idle_ranks", plan.most_idle},
              {"passes_per_step", plan.passes},
              {"largest_pass_tokens", plan.largest.tokens},
              {"longest_row", plan.longest_row},
              {"flops", plan.flops},
              {"trained_values", phase.trained},
              {"memory_bytes", phase.memory.sum()},
              {"memory", std::move(memory)},
              {"seconds", phase.seconds},
              {"validation_seconds_at_most", phase.validation_seconds},
              {"checkpoint_bytes", phase.checkpoint_bytes()}};
  if (run.bound_bytes > 0) out["most_micro_tokens"] = phase.most_micro_tokens;
  return out;
}

/// "name       value" lines.
class Facts {
 public:
  template <class... Args>
  void add(const char* name, fmt::format_string<Args...> text, Args&&... args) {
    text_ += fmt::format("{:<10} {}\n", name, fmt::format(text, std::forward<Args>(args)...));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string inputs_text(const DryRunPlan& plan) {
  Facts facts;
  const auto& data = plan.data;
  facts.add("data", "{}: {} users, {} items, {}/{}/{} train/valid/test rows, {} reasons{}", data.path, format_count(data.users),
            format_count(data.items), data.rows[0], data.rows[1], data.rows[2], data.reasons,
            data.trained_rows < data.rows[0] ? fmt::format("; {} train rows are sampled", data.trained_rows) : "");
  const LlamaConfig& config = plan.model.config;
  facts.add("model", "{} layers, width {}, vocabulary {}, {:.1f} M parameters in {}; {}", config.layers, config.width,
            format_count(config.vocab), static_cast<double>(weight_count(config)) / 1e6,
            plan.model.value_bytes == 2 ? "bf16" : "fp32",
            plan.model.at_hand ? "weights at hand" : "weights not at hand, shapes from config.json");
  facts.add("tokenizer", "{} tokens", format_count(plan.tokenizer_tokens));
  for (const PromptLengths& of : plan.prompts) {
    facts.add("prompts", "{}: mean {:.1f} tokens, 5/50/95/99 % {}/{}/{}/{}, longest {} of {} rows counted", of.name, of.mean,
              of.p5, of.median, of.p95, of.p99, of.longest, of.rows);
  }
  facts.add("ranks", "{}, {} a node, {}", plan.ranks, plan.ranks_per_node,
            plan.gpu != nullptr
                ? fmt::format("one {} each", plan.gpu->name)
                : fmt::format("on CPUs like this one, {} thread{} each", plan.threads, plan.threads > 1 ? "s" : ""));
  if (plan.sharing > 1) facts.add("", "{:.1f} threads share a core: times are that much longer", plan.sharing);
  return facts.text();
}

std::string phases_text(const DryRunPlan& run) {
  Table steps(
      {"stage", "ranks", "steps", "tokens/step", "balance", "passes", "largest pass", "memory of a rank", "rows/s", "time"});
  for (const PlannedPhase& phase : run.phases) {
    const TeamPlan& plan = phase.plan;
    const double rows = static_cast<double>(plan.steps) * static_cast<double>(phase.step_rows);
    steps.add_row({phase.stage, std::to_string(phase.ranks), std::to_string(plan.steps), format_number(plan.step_tokens, 0),
                   format_number(plan.balance, 3), format_number(plan.passes, 1), fmt::format("{} tokens", plan.largest.tokens),
                   memory_text(static_cast<double>(phase.memory.sum())), format_number(rows / phase.seconds, 1),
                   format_duration(phase.total_seconds())});
  }
  std::string out = steps.text();
  bool experts = false;
  for (const PlannedPhase& phase : run.phases) {
    const TeamPlan& plan = phase.plan;
    experts = experts || phase.expert;
    if (plan.planned < plan.steps)
      out += fmt::format("{}: the first {} steps were planned row by row, the others taken to be like them\n", phase.stage,
                         plan.planned);
    if (plan.most_idle > 0)
      out += fmt::format("{}: up to {} of {} ranks have no row in a step; a larger batch would use them\n", phase.stage,
                         plan.most_idle, phase.ranks);
  }
  if (experts) out += "groups of users are taken to be equal; the real ones follow the encoder\n";
  return out;
}

std::string memory_parts_text(const DryRunPlan& plan, const PlannedPhase& phase) {
  Table parts({fmt::format("memory of a rank in '{}'", phase.stage), "MiB"});
  for (const auto& [name, bytes] : phase.memory.of) parts.add_row({name, format_number(static_cast<double>(bytes) / kMiB, 1)});
  parts.add_rule();
  parts.add_row({"sum", format_number(static_cast<double>(phase.memory.sum()) / kMiB, 1)});
  std::string out = parts.text();
  if (plan.bound_bytes > 0)
    out += fmt::format("of {}; run.micro_tokens may be up to {}\n", memory_text(plan.bound_bytes), phase.most_micro_tokens);
  return out;
}

std::string costs_text(const DryRunPlan& plan) {
  Facts facts;
  if (plan.gpu == nullptr) {
    facts.add("node", "{} for {} ranks, which share one copy of the weights", memory_text(static_cast<double>(plan.node_bytes())),
              plan.ranks_per_node);
    facts.add("speed", "{:.1f} GFLOP/s a rank: a layer of this shape, trained on {} tokens here in {:.3f} s", plan.rate / 1e9,
              plan.layer.tokens, plan.layer.seconds);
  } else {
    facts.add("node", "{} of host memory while the weights are read, and about {} a rank",
              memory_text(static_cast<double>(plan.weight_bytes())), memory_text(static_cast<double>(plan.base_bytes)));
    facts.add("speed", "assumed: {:.0f} % of {:.0f} TFLOP/s (--mfu)", 100 * plan.mfu,
              plan.gpu->bf16_flops * (plan.model.value_bytes == 2 ? 1 : 0.5) / 1e12);
  }
  facts.add("time", "{} of training with validation; evaluation of {} rows at most {}; encoder and groups not forecast",
            format_duration(plan.training_seconds()), format_count(plan.evaluated_rows),
            format_duration(plan.evaluation_seconds));
  facts.add("disk", "{} of checkpoints at most, the largest {}; {} free", memory_text(static_cast<double>(plan.disk_bytes)),
            memory_text(static_cast<double>(plan.largest_checkpoint)),
            plan.free_bytes < 0 ? "?" : memory_text(static_cast<double>(plan.free_bytes)));
  return facts.text();
}

}  // namespace

std::string memory_text(double bytes) {
  return bytes < 10 * 1024 * kMiB ? fmt::format("{:.1f} MiB", bytes / kMiB) : fmt::format("{:.1f} GiB", bytes / 1024 / kMiB);
}

Json dry_run_json(const DryRunPlan& plan) {
  Json out;
  out["data"] = {{"path", plan.data.path},         {"name", plan.data.name},          {"users", plan.data.users},
                 {"items", plan.data.items},       {"train_rows", plan.data.rows[0]}, {"valid_rows", plan.data.rows[1]},
                 {"test_rows", plan.data.rows[2]}, {"reasons", plan.data.reasons},    {"trained_rows", plan.data.trained_rows}};
  out["tokenizer"] = {{"tokens", plan.tokenizer_tokens}};
  out["model"] = {{"path", plan.model.path},
                  {"layers", plan.model.config.layers},
                  {"width", plan.model.config.width},
                  {"vocabulary", plan.model.config.vocab},
                  {"parameters", weight_count(plan.model.config)},
                  {"dtype", plan.model.value_bytes == 2 ? "bf16" : "fp32"},
                  {"weights_at_hand", plan.model.at_hand}};
  out["prompts"] = Json::object();
  for (const PromptLengths& of : plan.prompts) {
    out["prompts"][of.name] = {{"rows", of.rows}, {"mean", of.mean}, {"p5", of.p5},           {"median", of.median},
                               {"p95", of.p95},   {"p99", of.p99},   {"longest", of.longest}, {"in_pieces", of.in_pieces}};
  }
  out["ranks"] = {{"count", plan.ranks},
                  {"per_node", plan.ranks_per_node},
                  {"threads", plan.threads},
                  {"device", plan.gpu == nullptr ? std::string("cpu") : std::string(plan.gpu->name)}};
  out["phases"] = Json::array();
  for (const PlannedPhase& phase : plan.phases) out["phases"].push_back(phase_json(plan, phase));
  out["memory"] = {{"rank_peak_bytes", plan.peak_bytes()},
                   {"encode_bytes", plan.encoder_memory.sum()},
                   {"bound_bytes", plan.bound_bytes},
                   {"node_weights_bytes", plan.weight_bytes()},
                   {"host_base_bytes", plan.base_bytes}};
  if (plan.gpu == nullptr) out["memory"]["node_bytes"] = plan.node_bytes();
  out["speed"] = {{"flops_per_second", plan.rate}, {"ranks_on_a_core", plan.sharing}};
  if (plan.gpu != nullptr) {
    out["speed"]["peak_flops_per_second"] = plan.gpu->bf16_flops;
    out["speed"]["mfu"] = plan.mfu;
  } else {
    out["speed"]["measured_tokens"] = plan.layer.tokens;
    out["speed"]["measured_seconds"] = plan.layer.seconds;
  }
  out["time"] = {{"training_seconds", plan.training_seconds()},
                 {"evaluation_rows", plan.evaluated_rows},
                 {"evaluation_seconds_at_most", plan.evaluation_seconds}};
  out["disk"] = {{"checkpoints_bytes", plan.disk_bytes}, {"free_bytes", plan.free_bytes}};
  out["problems"] = plan.problems;
  return out;
}

std::string dry_run_text(const DryRunPlan& plan) {
  std::string out = inputs_text(plan) + "\n" + phases_text(plan);
  if (const PlannedPhase* phase = plan.fullest(); phase != nullptr) out += "\n" + memory_parts_text(plan, *phase);
  return out + "\n" + costs_text(plan);
}

}  // namespace thinkrec
