// The options of thinkrec_eval.

#include "app/programs.h"
#include "eval/wordnet.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_eval",
    "Evaluates a finished run: baselines, encoder, untrained LM, global adapter, experts and fusion; or compares runs; or texts.",
    "mpirun -np 8 thinkrec_eval --run-dir D --split test [--json out.json] [--scores scores.csv]\n"
    "       thinkrec_eval --compare A/scores.csv,B/scores.csv:global [--json out.json]\n"
    "       thinkrec_eval --text-pairs pairs.jsonl [--bleurt FOLDER] [--json out.json]\n"
    "       thinkrec_eval --text --runs ThinkRec=D,global=D:global --references refs.jsonl [--json out.json]"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "a run directory of thinkrec_train"},
      {"split", kChoice, "test", "choices train|valid|test", "", "rows to score"},
      {"all-rows", kFlag, "false", "", "", "score every row of the split, not the sample that the recipe scored"},
      {"json", kPath, "", "", "", "write the metrics here"},
      {"scores", kPath, "", "", "", "write every row's scores here, as CSV"},
      {"report", kFlag, "false", "", "", "instead of scoring: write report.html of --run-dir anew from the files that lie there"},
      {"compare", kText, "", "", "",
       "instead of scoring: FILE[:MODEL],... of --scores, on the rows that all have, each against the first by a paired bootstrap over "
       "users; without a MODEL the last column. The first file's counting baselines come along"},
      {"k", kInteger, "5", "[1, 1000]", "", "of NDCG@k and MAP@k in --compare"},
      {"text-pairs", kPath, "", "", "",
       "instead of a run: JSON lines {\"reference\": ..., \"candidate\": ...} to score with METEOR, BLEU-4, ROUGE-L and BLEURT"},
      {"text", kFlag, "false", "", "",
       "instead of scoring: the reasons that --runs give for the rows of --references, with the same metrics"},
      {"runs", kText, "", "", "",
       "for --text: NAME=RUNDIR[:MODEL],... with MODEL untrained, global or fused (default); differences are from the first"},
      {"references", kPath, "", "", "",
       "for --text: what thinkrec_synthesize references wrote, or JSON lines {\"row\", \"reference\", \"source\"} made elsewhere"},
      {"max-new-tokens", kInteger, "96", "[1, 4096]", "tokens", "of a reason in --text"},
      {"bleurt", kPath, "", "", "",
       "folder of a BLEURT checkpoint as launch/convert_bleurt.py writes it; without one BLEURT is left out, and said to be"},
      {"wordnet", kPath, WordNet::kFolder, "", "", "folder of WordNet 3.0, for METEOR; Debian's package wordnet-base"},
      {"set", kTextList, "", "", "",
       "name=value, over the run's recipe, for settings that do not change the run (run.threads, data.path, ...)", true,
       Completion::kRecipeKeys},
  };
}

}  // namespace

const Program& eval_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
