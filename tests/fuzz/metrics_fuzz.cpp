// The files of a run that the report reads: metrics.jsonl, recipe.yaml and three JSON files, with a byte 0x1e between them; where the input
// ends earlier, the others are missing. What the JSON files hold is asked for by every lookup.
#include "fuzz_input.h"
#include "report/run_data.h"

namespace {

using namespace thinkrec;

constexpr int kDeepest = 8;

void look_up(const html::Json& object, int depth) {
  if (!object.is_object() || depth > kDeepest) return;
  for (const auto& [key, value] : object.items()) {
    html::number(object, key);
    html::text_of(object, key);
    html::interval(object, key);
    html::numbers(html::find(value, key));
    look_up(value, depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  for (const char* name : {"metrics.jsonl", "recipe.yaml", "evaluation.json", "teams.json", "scaling.json"}) {
    if (input.empty()) {
      std::filesystem::remove(folder.path() + "/" + name);
      continue;
    }
    const std::size_t cut = std::min(input.find('\x1e'), input.size());
    folder.put(name, input.substr(0, cut));
    input.remove_prefix(std::min(cut + 1, input.size()));
  }
  fuzz::read_or_refuse([&] {
    const html::RunData run = html::read_run(folder.path());
    for (const html::Json* json : {&run.evaluation, &run.teams, &run.scaling}) look_up(*json, 0);
    for (const html::StageData& stage : run.stages) {
      if (!(stage.seconds() >= 0)) std::abort();
    }
  });
  return 0;
}
