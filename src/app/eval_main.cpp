// thinkrec_eval: metrics of a finished run, beside its baselines; or of the reasons that runs give.

#include <filesystem>

#include "app/programs.h"
#include "app/ranked_program.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/score_file.h"
#include "eval/text_pairs.h"
#include "io/file.h"
#include "model/bleurt.h"
#include "report/html.h"
#include "report/metrics_report.h"
#include "train/run.h"
#include "train/text_evaluation.h"

namespace {

using namespace thinkrec;

/// Of what does without a run: the options that go with one only.
void refuse_run_options(const CommandLine& line, const char* instead) {
  for (const char* name : {"run-dir", "split", "all-rows", "scores", "set", "report"}) {
    if (line.has(name)) fail(ExitCode::kUsage, "--{} does not go with --{}, which needs no run", name, instead);
  }
}

/// What thinkrec_eval prints and writes.
template <class Json>
void give(const CommandLine& line, const std::string& table, const Json& json) {
  std::fputs(table.c_str(), stdout);
  if (!line.text("json").empty()) write_file_atomic(line.text("json"), json.dump(1) + "\n");
}

void compare(const CommandLine& line) {
  constexpr int kResamples = 1000;
  constexpr std::uint64_t kSeed = 42;
  refuse_run_options(line, "compare");
  std::vector<ScoreFile> files;
  for (const std::string& file : split_list(line.text("compare"))) files.push_back(read_score_file(file));
  if (files.size() > 1) {
    for (ScoreFile& baseline : counting_baselines(files)) files.push_back(std::move(baseline));
  }
  const int k = static_cast<int>(line.integer("k"));
  const ComparisonReport report = report_comparison(compare_scores(files, k, kResamples, kSeed), k);
  give(line, report.table, report.json);
}

/// BLEURT where --bleurt names a checkpoint.
LearntMetric learnt_metric(const CommandLine& line) {
  if (!line.has("bleurt")) return {};
  return [bleurt = std::make_shared<Bleurt>(line.required("bleurt"))](const TextPairs& pairs) {
    return bleurt->score(pairs.reference, pairs.candidate);
  };
}

/// Generated texts against references.
void evaluate_texts(const CommandLine& line) {
  refuse_run_options(line, "text-pairs");
  const WordNet wordnet(line.text("wordnet"));
  const TextEvaluation evaluation = score_texts(read_text_pairs(line.required("text-pairs")), wordnet, learnt_metric(line));
  give(line, evaluation.table(), evaluation.json());
}

/// The reasons of runs, generated here, against references.
void evaluate_runs_texts(const CommandLine& line, Collectives& world) {
  for (const char* name : {"run-dir", "all-rows", "scores"}) {
    if (line.has(name)) fail(ExitCode::kUsage, "--{} does not go with --text, whose runs are named by --runs", name);
  }
  TextJudgement judgement;
  judgement.methods = parse_judged_methods(line.required("runs"));
  judgement.references = line.required("references");
  judgement.split = parse_split(line.text("split"));
  judgement.max_new_tokens = line.integer("max-new-tokens");
  judgement.settings = line.list("set");
  const WordNet wordnet(line.text("wordnet"));  // what is missing is to be said before the work
  learnt_metric(line);                          // and what is wrong with it; loaded again behind, not held beside the models
  JudgedTexts texts = generate_judged_texts(judgement, world);
  const LearntMetric bleurt = learnt_metric(line);
  std::vector<std::string> references;
  for (const ExplainedRow& row : texts.rows) references.push_back(row.reference);
  texts.methods.push_back(of_other_rows(texts.rows, texts.methods.front()));
  for (ExplainedMethod& method : texts.methods) method.evaluation = score_texts({references, method.candidate}, wordnet, bleurt);
  const TextReport report = report_texts(texts.rows, texts.methods, texts.resamples, texts.seed);
  give(line, report.table, report.json);
}

/// Options of one way of working, given in another.
void refuse_options_of_others(const CommandLine& line) {
  struct Needs {
    const char *option, *ways;
    bool met;
  };
  const bool pairs = line.has("text-pairs"), text = line.flag("text");
  for (const Needs& needs : {Needs{"k", "--compare only; a run's is evaluate.k of its recipe", line.has("compare")},
                             Needs{"wordnet", "--text-pairs and --text only", pairs || text},
                             Needs{"bleurt", "--text-pairs and --text only", pairs || text}, Needs{"runs", "--text only", text},
                             Needs{"references", "--text only", text}, Needs{"max-new-tokens", "--text only", text}}) {
    if (line.has(needs.option) && !needs.met) fail(ExitCode::kUsage, "--{} goes with {}", needs.option, needs.ways);
  }
  if (line.has("compare") + pairs + text + line.flag("report") > 1)
    fail(ExitCode::kUsage, "--compare, --text-pairs, --text and --report do not go together");
}

int run(int argc, char** argv, std::unique_ptr<World>& world) {
  const CommandLine line = read_command_line(eval_program(), argc, argv);
  if (line.finished()) return 0;
  world = std::make_unique<World>(argc, argv);
  init_log("thinkrec_eval", world->all().rank());
  refuse_options_of_others(line);
  if (line.flag("text")) {
    evaluate_runs_texts(line, world->all());
    return 0;
  }
  if (line.has("compare") || line.has("text-pairs")) {  // on the first rank alone
    if (world->all().rank() == 0) line.has("compare") ? compare(line) : evaluate_texts(line);
    return 0;
  }
  if (line.flag("report")) {
    for (const char* name : {"split", "all-rows", "scores", "json", "set"}) {
      if (line.has(name)) fail(ExitCode::kUsage, "--{} does not go with --report, which scores nothing", name);
    }
    const std::string run_dir = line.required("run-dir");
    if (!std::filesystem::exists(std::filesystem::path(run_dir) / "recipe.yaml"))
      fail(ExitCode::kNoInput, "{}: no run directory (it has no recipe.yaml)", run_dir);
    if (world->all().rank() == 0) write_report(run_dir);
    return 0;
  }
  const Session session = open_run(line.required("run-dir"), line.list("set"), world->all());
  const RunState state = load_run(session);
  const Evaluation evaluation = evaluate(session, state, parse_split(line.text("split")), line.flag("all-rows"));
  if (!session.leader()) return 0;
  give(line, evaluation.table, evaluation.json);
  if (!line.text("scores").empty()) write_file_atomic(line.text("scores"), scores_csv(session, evaluation));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_ranked_program("thinkrec_eval", [&](std::unique_ptr<World>& world) {
    const int code = run(argc, argv, world);
    flush_output();
    return code;
  });
}
