#include "train/text_evaluation.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "synthesis/reasons.h"
#include "text/unicode.h"
#include "train/run.h"

namespace thinkrec {
namespace {

/// A finished run in memory.
struct OpenRun {
  OpenRun(const std::string& run_dir, const std::vector<std::string>& settings, Collectives& world)
      : session(open_run(run_dir, settings, world)), state(load_run(session)) {}
  Session session;
  RunState state;
};

std::vector<Reason> references_of(const TextJudgement& judgement, const Session& session) {
  const auto references = read_references(judgement.references, session.dataset(), judgement.split);
  if (references.empty()) {
    fail(ExitCode::kNoInput, "{}: no reference there; thinkrec_synthesize references --output {} makes them", judgement.references,
         judgement.references);
  }
  return references;
}

/// Who wrote a reference, from the provenance that thinkrec_synthesize gives it, else as it stands. A self-reference comes from the judged
/// run's own base model.
std::string writer_of(const std::string& source, const Session& session) {
  const auto provenance = nlohmann::json::parse(source, nullptr, /*allow_exceptions=*/false);
  if (!provenance.is_object() || !provenance.contains("model") || !provenance["model"].is_string()) return one_line(source);
  const auto model = provenance["model"].get<std::string>();
  const std::string own = session.model_hash().substr(0, model.size());
  return model.size() >= 16 && model == own ? "self-reference (the base model)" : one_line(model);
}

}  // namespace

std::vector<JudgedMethod> parse_judged_methods(const std::string& text) {
  std::vector<JudgedMethod> methods;
  std::set<std::string> names;
  for (const std::string& part : split_list(text)) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == part.size())
      fail(ExitCode::kUsage, "--runs: {} is not NAME=RUNDIR[:untrained|global|fused]", in_quotes(part));
    JudgedMethod method{part.substr(0, equals), part.substr(equals + 1)};
    if (const std::size_t colon = method.run_dir.rfind(':'); colon != std::string::npos) {
      const std::string model = method.run_dir.substr(colon + 1);
      const auto* const known = std::find(std::begin(kExplainerNames), std::end(kExplainerNames), model);
      if (known == std::end(kExplainerNames))
        fail(ExitCode::kUsage, "--runs: {} is none of untrained, global and fused", in_quotes(model));
      method.explainer = static_cast<Explainer>(known - std::begin(kExplainerNames));
      method.run_dir.resize(colon);
    }
    if (!names.insert(method.name).second) fail(ExitCode::kUsage, "--runs: the name {} is there twice", in_quotes(method.name));
    methods.push_back(std::move(method));
  }
  if (methods.empty()) fail(ExitCode::kUsage, "--runs is needed: NAME=RUNDIR[:untrained|global|fused],...");
  return methods;
}

JudgedTexts generate_judged_texts(const TextJudgement& judgement, Collectives& world) {
  if (world.size() > 1) fail(ExitCode::kUsage, "--text runs on one rank; start it without mpirun");
  JudgedTexts texts;
  std::vector<std::int64_t> rows;
  std::string data, opened;
  std::unique_ptr<OpenRun> run;
  for (const JudgedMethod& method : judgement.methods) {
    if (opened != method.run_dir) {
      run.reset();  // two base models need not fit in memory
      run = std::make_unique<OpenRun>(method.run_dir, judgement.settings, world);
      opened = method.run_dir;
    }
    const Session& session = run->session;
    const Dataset& dataset = session.dataset();
    if (rows.empty()) {
      for (const Reason& reference : references_of(judgement, session)) {
        const auto at = static_cast<std::size_t>(reference.row);
        const auto user = static_cast<std::size_t>(dataset.user[at]);
        rows.push_back(reference.row);
        texts.rows.push_back({reference.row, dataset.user[at], one_line(dataset.users[user]),
                              one_line(dataset.items[static_cast<std::size_t>(dataset.item[at])].title), dataset.label[at] != 0,
                              reference.text, writer_of(reference.provenance, session)});
      }
      data = dataset.hash();
      texts.seed = session.seed();
      texts.resamples = static_cast<int>(session.recipe().integer("evaluate.bootstrap"));
    } else if (dataset.hash() != data) {
      fail(ExitCode::kConfig, "{}: its data set is another one than that of {}; only runs on the same rows can be compared",
           method.run_dir, judgement.methods.front().run_dir);
    }
    texts.methods.push_back(
        {method.name, explain_rows(session, run->state, method.explainer, rows, judgement.max_new_tokens), {}});
  }
  return texts;
}

}  // namespace thinkrec
