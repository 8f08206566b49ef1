// thinkrec_synthesize: explanations for train rows, written into the data set.

#include <ATen/Parallel.h>

#include <thread>

#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "data/guard.h"
#include "report/progress.h"
#include "train/session.h"
#include "train/synthesis.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {
    "thinkrec_synthesize", "Makes reasons for train rows by an LLM and stores them in the data set; goes on where it ended.",
    "thinkrec_synthesize reasons --data data.h5 --backend local --model M.gguf --rows 32", "WHAT (reasons)"};

OptionTable options() {
  using enum OptionType;
  return {
      {"data", kPath, "", "", "", "data set written by thinkrec_prepare; it is extended in place"},
      {"backend", kChoice, "local", "choices local", "", "who answers: the model named by --model, on this machine"},
      {"model", kPath, "", "", "", "Hugging Face folder or .gguf file"},
      {"rows", kInteger, "32", "[0, inf)", "reasons", "that the data set shall have in the end"},
      {"history", kInteger, "8", "[1, 1000]", "items", "of the history that the model is shown"},
      {"max-new-tokens", kInteger, "72", "[8, 4096]", "tokens", "of a reply"},
      {"batch", kInteger, "8", "[1, 1024]", "prompts", "answered at once"},
      {"seed", kInteger, "0", "[0, inf)", "", "which rows are tried"},
      {"threads", kInteger, "0", "[0, 1024]", "threads", "0: all cores"},
  };
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_synthesize", [&] {
    const CommandLine line(kProgram, options(), argc, argv);
    if (line.finished()) return 0;
    if (line.positional().size() != 1 || line.positional()[0] != "reasons") {
      fail(ExitCode::kUsage, "say what to synthesize: thinkrec_synthesize reasons --data data.h5 ...");
    }
    init_log("thinkrec_synthesize", 0);
    const std::string path = line.required("data");
    check_in_guard(path);
    Dataset dataset = load_dataset(path);
    const std::int64_t threads = line.integer("threads");
    at::set_num_threads(static_cast<int>(threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency())));
    const auto world = make_solo_collectives();
    const SharedModel model(line.required("model"), *world);
    const auto tokenizer = load_tokenizer(line.text("model"));
    SynthesisConfig config;
    config.rows = line.integer("rows");
    config.history = line.integer("history");
    config.max_new_tokens = line.integer("max-new-tokens");
    config.batch = line.integer("batch");
    config.seed = static_cast<std::uint64_t>(line.integer("seed"));
    Progress progress("reasons", config.rows, true);
    const auto report =
        synthesize_reasons(model.llama(), model.hash(), *tokenizer, dataset, config, [&](const SynthesisReport& so_far) {
          save_dataset(dataset, path);
          progress.update(static_cast<std::int64_t>(dataset.reasons.size()),
                          fmt::format("{} at once, {} after the answer was revealed, {} failed", so_far.accepted_first,
                                      so_far.accepted_second, so_far.failed));
        });
    progress.finish();
    std::printf("%s: %zu reasons (%ld before; %ld at once, %ld after the answer was revealed, %ld rows failed)\n", path.c_str(),
                dataset.reasons.size(), report.had, report.accepted_first, report.accepted_second, report.failed);
    if (static_cast<std::int64_t>(dataset.reasons.size()) < config.rows) {
      log_warning("only {} of {} reasons were made: the model's verdicts were wrong too often; use a stronger model",
                  dataset.reasons.size(), config.rows);
    }
    return 0;
  });
}
