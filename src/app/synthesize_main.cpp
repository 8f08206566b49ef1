// thinkrec_synthesize: explanations for train rows, written into the data set.

#include <ATen/Parallel.h>

#include <thread>

#include "app/programs.h"
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

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_synthesize", [&] {
    const CommandLine line = read_command_line(synthesize_program(), argc, argv);
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
