// thinkrec_eval: metrics of a finished run, beside its baselines.

#include "app/ranked_program.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/score_file.h"
#include "io/file.h"
#include "report/metrics_report.h"
#include "train/run.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {"thinkrec_eval",
                              "Evaluates a finished run: baselines, encoder, untrained LM, global adapter, experts and fusion.",
                              "mpirun -np 8 thinkrec_eval --run-dir D --split test [--json out.json] [--scores scores.csv]\n"
                              "thinkrec_eval --compare A/scores.csv,B/scores.csv:global [--json out.json]"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "a run directory of thinkrec_train"},
      {"split", kChoice, "test", "choices train|valid|test", "", "rows to score"},
      {"all-rows", kFlag, "false", "", "", "score every row of the split, not the sample that the recipe scored"},
      {"json", kPath, "", "", "", "write the metrics here"},
      {"scores", kPath, "", "", "", "write every row's scores here, as CSV"},
      {"compare", kTextList, "", "", "",
       "instead of scoring: FILE[:MODEL],... of --scores, on the rows that all have, each against the first by a paired bootstrap over "
       "users; without a MODEL the last column"},
      {"k", kInteger, "5", "[1, 1000]", "", "of NDCG@k and MAP@k in --compare"},
      {"set", kTextList, "", "", "",
       "name=value, over the run's recipe, for settings that do not change the run (run.threads, data.path, ...)"},
  };
}

constexpr int kResamples = 1000;
constexpr std::uint64_t kSeed = 42;

int compare(const CommandLine& line) {
  std::vector<ScoreFile> files;
  for (const std::string& file : line.list("compare")) files.push_back(read_score_file(file));
  const int k = static_cast<int>(line.integer("k"));
  const ComparisonReport report = report_comparison(compare_scores(files, k, kResamples, kSeed), k);
  std::fputs(report.table.c_str(), stdout);
  if (!line.text("json").empty()) write_file_atomic(line.text("json"), report.json.dump(1) + "\n");
  return 0;
}

int run(int argc, char** argv, std::unique_ptr<World>& world) {
  const CommandLine line(kProgram, options(), argc, argv);
  if (line.finished()) return 0;
  if (!line.list("compare").empty()) return compare(line);
  world = std::make_unique<World>(argc, argv);
  init_log("thinkrec_eval", world->all().rank());
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
