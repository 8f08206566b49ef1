#include "train/recipe_phases.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace thinkrec {
namespace {

void add_error(std::vector<std::string>& errors, const auto& check) {
  try {
    check();
  } catch (const Error& error) {
    errors.emplace_back(error.what());
  }
}

void check_rates(const Recipe& recipe, const std::string& prefix, std::vector<std::string>& errors) {
  const double peak = recipe.real(prefix + "learning_rate"), floor = recipe.real(prefix + "min_learning_rate");
  if (floor > peak) errors.push_back(fmt::format("{}min_learning_rate {} is above {}learning_rate {}: lower it", prefix, floor, prefix, peak));
}

}  // namespace

PhaseConfig read_phase(const Recipe& recipe, const std::string& prefix) {
  PhaseConfig config;
  config.steps = recipe.integer(prefix + "steps");
  config.batch = recipe.integer(prefix + "batch");
  config.peak_rate = recipe.real(prefix + "learning_rate");
  config.floor_rate = recipe.real(prefix + "min_learning_rate");
  config.warmup = recipe.integer(prefix + "warmup");
  config.weight_decay = recipe.real(prefix + "weight_decay");
  config.clip = recipe.real(prefix + "clip");
  config.validate_every = recipe.integer(prefix + "validate_every");
  return config;
}

PhaseConfig activate_phase(const Recipe& recipe, std::int64_t index) {
  const std::string prefix = fmt::format("activate.phases.{}.", index);
  PhaseConfig config = read_phase(recipe, prefix);
  const std::string name = recipe.text(prefix + "name"), train = recipe.text(prefix + "train");
  config.stage = "activate/" + name;
  config.folder = fmt::format("activate-{}-{}", index, name);
  const std::string prompt = prompt_template(phase_template(recipe, index));
  config.train_lora = train == "lora" || train == "both" || train == "lora+soft";
  config.train_projector = train == "projector" || train == "both";
  config.train_soft = train == "soft" || train == "lora+soft";
  config.stream = static_cast<std::uint64_t>(index);
  if (config.train_projector && !template_has_features(prompt)) {
    fail(ExitCode::kConfig, "{}train: phase '{}' trains the projector, but its template '{}' has no features", prefix, name,
         phase_template(recipe, index));
  }
  if (config.train_soft && soft_tokens(prompt) == 0) {
    fail(ExitCode::kConfig, "{}train: phase '{}' trains learnt tokens, but its template '{}' has none", prefix, name,
         phase_template(recipe, index));
  }
  return config;
}

std::int64_t first_expert_layer(const Recipe& recipe, std::int64_t layers) {
  return std::max<std::int64_t>(0, layers - recipe.integer("expert.layers"));
}

PhaseConfig expert_phase(const Recipe& recipe, std::int64_t layers, int expert) {
  PhaseConfig config = read_phase(recipe, "expert.");
  config.stage = fmt::format("expert/{}", expert);
  config.folder = fmt::format("expert-{}", expert);
  config.train_projector = false;
  config.first_layer = first_expert_layer(recipe, layers);
  config.cache_mb = recipe.integer("expert.cache_mb");
  config.stream = 100 + static_cast<std::uint64_t>(expert);
  return config;
}

EncoderConfig encoder_config(const Recipe& r, const std::string& kind) {
  EncoderConfig config;
  config.kind = kind;
  config.width = r.integer("encoder.width");
  config.blocks = r.integer("encoder.blocks");
  config.heads = r.integer("encoder.heads");
  config.layers = static_cast<int>(r.integer("encoder.layers"));
  config.max_length = r.integer("encoder.max_length");
  config.biases = r.flag("encoder.biases");
  config.loss = r.text("encoder.loss");
  config.recency = r.real("encoder.recency");
  config.all_positions = r.flag("encoder.all_positions");
  config.warm_start = r.flag("encoder.warm_start");
  config.ridge = r.real("encoder.ridge");
  config.fold_in = r.flag("encoder.fold_in");
  config.averaging = r.real("encoder.averaging");
  config.dropout = r.real("encoder.dropout");
  config.learning_rate = r.real("encoder.learning_rate");
  config.weight_decay = r.real("encoder.weight_decay");
  config.batch = r.integer("encoder.batch");
  config.max_epochs = r.integer("encoder.max_epochs");
  config.patience = r.integer("encoder.patience");
  config.seed = static_cast<std::uint64_t>(r.integer("run.seed"));
  return config;
}

std::vector<std::string> recipe_conflicts(const Recipe& recipe) {
  std::vector<std::string> errors;
  for (const auto& [name, remedy] : {std::pair("data.path", "make a data set with thinkrec_prepare"),
                                     std::pair("model.path", "give a Hugging Face folder, a .gguf file or, for a dry run, a config.json")}) {
    if (recipe.text(name).empty()) errors.push_back(fmt::format("{} is not set; {}", name, remedy));
  }
  std::vector<std::string> kinds = {recipe.text("encoder.kind")};
  if (const std::string group = recipe.text("group.encoder"); group != "same" && group != kinds[0]) kinds.push_back(group);
  for (const std::string& kind : kinds) {
    for (const std::string& error : encoder_config_errors(encoder_config(recipe, kind))) {
      if (std::find(errors.begin(), errors.end(), error) == errors.end()) errors.push_back(error);
    }
  }
  add_error(errors, [&] { phase_count(recipe); });
  for (std::int64_t i = 0; i < recipe.count("activate.phases"); ++i) {
    add_error(errors, [&] { activate_phase(recipe, i); });
    check_rates(recipe, fmt::format("activate.phases.{}.", i), errors);
  }
  check_rates(recipe, "expert.", errors);
  if (recipe.text("run.device") == "cpu") {
    if (recipe.text("run.dtype") == "bf16") errors.push_back("run.dtype bf16 is for GPUs and run.device is cpu: use fp32 or auto");
    if (recipe.integer("run.profile_from") > 0 && recipe.text("run.profile_to") == "nvtx")
      errors.push_back("run.profile_to nvtx is for GPUs and run.device is cpu: set run.profile_to=trace");
  }
  return errors;
}

std::uint64_t sampler_seed(const Recipe& recipe, const PhaseConfig& config) {
  return static_cast<std::uint64_t>(recipe.integer("run.seed")) + 1000 * (config.stream + 1);
}

std::int64_t expected_tokens(const PhaseConfig& config, std::span<const std::int64_t> train, const PromptBuilder& prompts) {
  constexpr std::size_t kSample = 4096;
  std::int64_t sum = 0, count = 0;
  const std::size_t stride = std::max<std::size_t>(1, train.size() / kSample);
  for (std::size_t i = 0; i < train.size(); i += stride, ++count) sum += prompts.recommendation_tokens(train[i]);
  return config.steps * config.batch * sum / std::max<std::int64_t>(1, count);
}

}  // namespace thinkrec
