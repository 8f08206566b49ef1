#include "train/explain.h"

#include <ATen/ATen.h>

#include "report/progress.h"
#include "train/evaluate.h"
#include "train/reason_writer.h"

namespace thinkrec {

std::vector<std::string> explain_rows(const Session& session, const RunState& state, Explainer explainer,
                                      std::span<const std::int64_t> rows, std::int64_t max_new_tokens) {
  constexpr std::size_t kAtOnce = 32;
  const at::NoGradGuard no_grad;
  const Dataset& dataset = session.dataset();
  const PromptBuilder prompts(dataset, session.tokenizer(),
                              explainer == Explainer::kUntrained ? session.prompt("text") : final_prompt(session));
  FusedAdapters fused(session, state);
  ReasonWriter writer(session, state, max_new_tokens);
  std::vector<std::string> texts;
  Progress progress(fmt::format("reasons/{}", kExplainerNames[static_cast<int>(explainer)]),
                    static_cast<std::int64_t>(rows.size()), session.leader());
  for (std::size_t begin = 0; begin < rows.size(); begin += kAtOnce) {
    const auto batch = rows.subspan(begin, std::min(kAtOnce, rows.size() - begin));
    std::vector<EncodedRow> encoded;
    for (const std::int64_t row : batch) encoded.push_back(prompts.prompt(row));
    std::vector<ReasonToWrite> reasons;
    for (const EncodedRow& prompt : encoded) {
      ReasonToWrite& reason = reasons.emplace_back(ReasonToWrite{&prompt, {prompts.verdicts().yes, prompts.verdicts().no}, {}});
      if (explainer == Explainer::kGlobal) reason.adapter = state.global;
      if (explainer == Explainer::kFused) reason.adapter = fused.of(dataset.user[static_cast<std::size_t>(prompt.row)]);
    }
    for (std::string& text : writer.write(reasons, state.features.get())) texts.push_back(std::move(text));
    progress.update(static_cast<std::int64_t>(texts.size()), "written");
  }
  return texts;
}

}  // namespace thinkrec
