// thinkrec_export: an adapter of a finished run as a PEFT folder, or merged into the model.

#include <filesystem>
#include <numeric>

#include "app/programs.h"
#include "adapters/peft_folder.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/run_program.h"
#include "data/open_row.h"
#include "io/file.h"
#include "model/hf_folder.h"
#include "text/save_tokenizer.h"
#include "train/run.h"

namespace {

using namespace thinkrec;

/// The number in "expert:K".
std::size_t expert_number(const std::string& text, std::size_t experts) {
  const bool digits = !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoul(text) >= experts)
    fail(ExitCode::kUsage, "--adapter expert:{}: this run has experts 0 to {}", text, static_cast<std::int64_t>(experts) - 1);
  return std::stoul(text);
}

std::int32_t user_number(const Dataset& dataset, const std::string& id) {
  const auto found = std::find(dataset.users.begin(), dataset.users.end(), id);
  if (found == dataset.users.end()) fail(ExitCode::kBadData, "the data set has no user '{}'", id);
  return static_cast<std::int32_t>(found - dataset.users.begin());
}

/// `adapter` is null for the base alone.
void write_merged(const CommandLine& line, const std::string& model, const std::string& tokenizer, const LoraAdapter* adapter) {
  const std::string output = line.required("output");
  const auto source = ModelSource::open(model);
  std::vector<float> block(static_cast<std::size_t>(weight_count(source->config())));
  source->read(block.data());
  const LlamaWeights base = view_weights(source->config(), block.data());
  const auto tokens = load_tokenizer(tokenizer);
  HfFolderOptions options;
  options.type = line.text("dtype") == "fp32" ? SavedType::kF32 : SavedType::kBf16;
  options.bos = tokens->bos();
  options.eos = tokens->eos();
  save_hf_folder(output, source->config(), adapter == nullptr ? base : merge_into(base, *adapter), options);
  save_tokenizer(tokenizer, output);
  // How its makers would have it generate goes along, where they say so.
  const auto generation = std::filesystem::path(model) / "generation_config.json";
  if (std::filesystem::exists(generation))
    write_file_atomic((std::filesystem::path(output) / "generation_config.json").string(),
                      read_file(generation.string(), 1 << 20));
}

/// What the prompts' slots hold, which no adapter format knows: the projector, and what it reads of items (in a history) and of users (after all
/// that they have done). In a folder of its own, as vLLM reads every .safetensors beside a model's.
void write_collaborative(const std::string& output, const Session& session, const RunState& state) {
  const std::filesystem::path folder = std::filesystem::path(output) / "collaborative";
  make_folder(folder.string());
  const Dataset& dataset = session.dataset();
  NamedTensors all;
  for (const auto& [name, tensor] : state.projector.folded()) all.emplace_back(name, tensor.to(at::kCPU).contiguous());
  std::vector<std::int64_t> everyone(dataset.users.size());
  std::iota(everyone.begin(), everyone.end(), std::int64_t{0});
  const auto [open, open_rows] = with_open_rows(dataset, everyone);
  const auto features = feature_bank(state, open);
  std::vector<FeatureRef> item_slots, user_slots;
  for (std::size_t i = 0; i < dataset.items.size(); ++i) item_slots.push_back({FeatureRef::Kind::kItem, static_cast<std::int64_t>(i)});
  for (const std::int64_t row : open_rows) user_slots.push_back({FeatureRef::Kind::kUser, row});
  all.emplace_back("items", features->gather(item_slots));
  all.emplace_back("users", features->gather(user_slots));
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, tensor] : all) tensors.push_back({name, tensor.sizes().vec(), tensor.const_data_ptr<float>()});
  nlohmann::json items = nlohmann::json::array();
  for (const auto& item : dataset.items) items.push_back(item.id);
  write_safetensors((folder / "vectors.safetensors").string(), std::move(tensors),
                    {{"encoder", session.recipe().text("encoder.kind")}}, SavedType::kF32);
  write_file_atomic((folder / "ids.json").string(), nlohmann::json{{"items", items}, {"users", dataset.users}}.dump() + "\n");
}

/// Without a run: the base alone, or with an adapter made elsewhere.
int export_model(const CommandLine& line) {
  const std::string wanted = line.text("adapter"), model = line.text("model");
  if (line.has("run-dir")) fail(ExitCode::kUsage, "--model stands instead of --run-dir; give one of them");
  if (!line.flag("merge")) fail(ExitCode::kUsage, "--model goes with --merge");
  if (wanted == "none") {
    write_merged(line, model, model, nullptr);
  } else if (wanted.starts_with("peft:")) {
    const PeftAdapter imported = load_peft_adapter(wanted.substr(5), ModelSource::open(model)->config());
    write_merged(line, model, model, &imported.adapter);
  } else {
    fail(ExitCode::kUsage, "--model goes with --adapter none or peft:FOLDER; '{}' is an adapter of a run (--run-dir)", wanted);
  }
  std::printf("%s: %s with adapter %s\n", line.text("output").c_str(), model.c_str(), wanted.c_str());
  return 0;
}

int export_run(const CommandLine& line) {
  const std::string wanted = line.text("adapter"), output = line.required("output");
  const bool merge = line.flag("merge");
  if (!merge && line.has("dtype")) fail(ExitCode::kUsage, "--dtype goes with --merge; adapters are fp32");
  if (wanted == "none" && !merge) fail(ExitCode::kUsage, "--adapter none goes with --merge");
  const auto world = make_solo_collectives();
  const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
  const std::string model = session.recipe().text("model.path"), own = session.recipe().text("model.tokenizer");
  const RunState state = load_run(session);
  FusedAdapters fused(session, state);
  const LoraAdapter* adapter = nullptr;
  if (wanted == "global") {
    adapter = &state.global;
  } else if (wanted.starts_with("expert:")) {
    adapter = &state.experts[expert_number(wanted.substr(7), state.experts.size())];
  } else if (wanted.starts_with("user:")) {
    adapter = &fused.of(user_number(session.dataset(), wanted.substr(5)));
  } else if (wanted != "none") {
    fail(ExitCode::kUsage, "--adapter {}: give global, expert:K, user:U or none", wanted);
  }
  if (merge) {
    write_merged(line, model, own.empty() ? model : own, adapter);
  } else {
    save_peft_adapter(output, *adapter, model);
  }
  write_collaborative(output, session, state);
  std::printf("%s: adapter %s of %s\n", output.c_str(), wanted.c_str(), session.run_dir().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_export", [&] {
    const CommandLine line = read_command_line(export_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_export", 0);
    return line.has("model") ? export_model(line) : export_run(line);
  });
}
