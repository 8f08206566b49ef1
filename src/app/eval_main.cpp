// thinkrec_eval: metrics of a finished run, beside its baselines; or of generated texts.

#include "app/ranked_program.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/text_pairs.h"
#include "io/file.h"
#include "train/run.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {
    "thinkrec_eval", "Evaluates a finished run: baselines, encoder, untrained LM, global adapter, experts and fusion; or texts.",
    "mpirun -np 8 thinkrec_eval --run-dir D --split test [--json out.json] [--scores scores.csv]\n"
    "       thinkrec_eval --text-pairs pairs.jsonl [--json out.json]"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "a run directory of thinkrec_train"},
      {"split", kChoice, "test", "choices train|valid|test", "", "rows to score"},
      {"all-rows", kFlag, "false", "", "", "score every row of the split, not the sample that the recipe scored"},
      {"json", kPath, "", "", "", "write the metrics here"},
      {"scores", kPath, "", "", "", "write every row's scores here, as CSV"},
      {"text-pairs", kPath, "", "", "",
       "instead of a run: JSON lines {\"reference\": ..., \"candidate\": ...} to score with METEOR, BLEU-4 and ROUGE-L"},
      {"wordnet", kPath, WordNet::kFolder, "", "", "folder of WordNet 3.0, for METEOR; Debian's package wordnet-base"},
      {"set", kTextList, "", "", "",
       "name=value, over the run's recipe, for settings that do not change the run (run.threads, data.path, ...)"},
  };
}

/// Generated texts against references, on the first rank alone.
void evaluate_texts(const CommandLine& line) {
  for (const char* name : {"run-dir", "split", "all-rows", "scores", "set"}) {
    if (line.has(name)) fail(ExitCode::kUsage, "--{} does not go with --text-pairs, which needs no run", name);
  }
  const TextEvaluation evaluation = score_text_pairs(line.required("text-pairs"), WordNet(line.text("wordnet")));
  std::fputs(evaluation.table().c_str(), stdout);
  if (!line.text("json").empty()) write_file_atomic(line.text("json"), evaluation.json().dump(1) + "\n");
}

int run(int argc, char** argv, std::unique_ptr<World>& world) {
  const CommandLine line(kProgram, options(), argc, argv);
  if (line.finished()) return 0;
  world = std::make_unique<World>(argc, argv);
  init_log("thinkrec_eval", world->all().rank());
  if (line.has("text-pairs")) {
    if (world->all().rank() == 0) evaluate_texts(line);
    return 0;
  }
  if (line.has("wordnet")) fail(ExitCode::kUsage, "--wordnet goes with --text-pairs only");
  const Session session = open_run(line.required("run-dir"), line.list("set"), world->all());
  const RunState state = load_run(session);
  const Evaluation evaluation = evaluate(session, state, parse_split(line.text("split")), line.flag("all-rows"));
  if (!session.leader()) return 0;
  std::fputs(evaluation.table.c_str(), stdout);
  if (!line.text("json").empty()) write_file_atomic(line.text("json"), evaluation.json.dump(1) + "\n");
  if (!line.text("scores").empty()) write_file_atomic(line.text("scores"), scores_csv(session, evaluation));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_ranked_program("thinkrec_eval", [&](std::unique_ptr<World>& world) { return run(argc, argv, world); });
}
