#include "train/explain.h"

#include <ATen/ATen.h>

#include <map>
#include <optional>

#include "model/generate.h"
#include "report/progress.h"
#include "text/unicode.h"
#include "train/evaluate.h"
#include "train/pack.h"

namespace thinkrec {

std::vector<std::string> explain_rows(const Session& session, const RunState& state, Explainer explainer,
                                      std::span<const std::int64_t> rows, std::int64_t max_new_tokens) {
  constexpr std::size_t kBatch = 8;
  const at::NoGradGuard no_grad;
  const Dataset& dataset = session.dataset();
  const PromptBuilder prompts(dataset, session.tokenizer(),
                              explainer == Explainer::kUntrained ? session.prompt("text") : final_prompt(session));
  FusedAdapters fused(session, state);
  std::map<const LoraAdapter*, std::vector<std::size_t>> by_adapter;  // a batch has one; null: none
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int32_t user = dataset.user[static_cast<std::size_t>(rows[i])];
    const LoraAdapter* adapter = explainer == Explainer::kFused    ? &fused.of(user)
                                 : explainer == Explainer::kGlobal ? &state.global
                                                                   : nullptr;
    by_adapter[adapter].push_back(i);
  }
  GenerateConfig config;
  config.max_new_tokens = max_new_tokens;
  config.eos = session.tokenizer().eos();
  config.no_repeat_ngram = 4;
  config.first = {prompts.verdicts().yes, prompts.verdicts().no};

  std::vector<std::string> texts(rows.size());
  Progress progress(fmt::format("reasons/{}", kExplainerNames[static_cast<int>(explainer)]),
                    static_cast<std::int64_t>(rows.size()), session.leader());
  std::int64_t done = 0;
  for (const auto& [adapter, numbers] : by_adapter) {
    for (std::size_t begin = 0; begin < numbers.size(); begin += kBatch) {
      const auto batch = std::span(numbers).subspan(begin, std::min(kBatch, numbers.size() - begin));
      std::vector<EncodedRow> encoded;
      for (const std::size_t i : batch) encoded.push_back(prompts.prompt(rows[i]));
      std::vector<RowToPack> to_pack;
      for (const EncodedRow& row : encoded) to_pack.push_back({&row, row.prompt_length, static_cast<std::uint64_t>(row.row)});
      const RowPack pack = pack_rows(to_pack);
      const at::Tensor vectors = pack.slots.empty() ? at::Tensor() : state.features->project(state.projector, pack.slots);
      std::optional<LoraHook> hook;
      if (adapter != nullptr) hook.emplace(*adapter);
      const auto replies = generate(session.model(), hook ? &*hook : nullptr, pack.packed, vectors, config);
      for (std::size_t i = 0; i < batch.size(); ++i) texts[batch[i]] = one_line(session.tokenizer().decode(replies[i]));
      progress.update(done += static_cast<std::int64_t>(batch.size()), "written");
    }
  }
  return texts;
}

}  // namespace thinkrec
