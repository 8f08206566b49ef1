#pragma once
// thinkrec_eval --text: the reasons of several runs against one set of references (paper, Table 3).

#include <cstdint>
#include <string>
#include <vector>

#include "eval/text_pairs.h"
#include "report/text_report.h"
#include "train/explain.h"

namespace thinkrec {

struct JudgedMethod {
  std::string name, run_dir;
  Explainer explainer = Explainer::kFused;
};

/// "NAME=RUNDIR[:untrained|global|fused],...", without a model the fused one. kUsage naming the part that is not like that, or a name given
/// twice.
std::vector<JudgedMethod> parse_judged_methods(const std::string& text);

struct TextJudgement {
  std::vector<JudgedMethod> methods;
  std::string references;  ///< file of them; synthesis/reasons.h
  Split split = Split::kTest;
  std::int64_t max_new_tokens = 96;
  std::vector<std::string> settings;  ///< name=value over the runs' recipes
};

struct JudgedTexts {
  std::vector<ExplainedRow> rows;
  std::vector<ExplainedMethod> methods;  ///< `evaluation` not yet filled in
  std::uint64_t seed = 0;                ///< of the first run, and its evaluate.bootstrap
  int resamples = 0;
};

/// Generates every method's reasons, one run open at a time. One rank only. Errors as open_run, load_run and read_references; kNoInput without
/// a reference; kConfig when a run's data set is another one than the first's.
JudgedTexts generate_judged_texts(const TextJudgement& judgement, Collectives& world);

}  // namespace thinkrec
