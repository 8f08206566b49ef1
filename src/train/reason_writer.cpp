#include "train/reason_writer.h"

#include <ATen/ATen.h>

#include <map>

#include "core/error.h"
#include "model/generate.h"
#include "text/unicode.h"
#include "train/pack.h"

namespace thinkrec {

ReasonWriter::ReasonWriter(const Session& session, const RunState& state, std::int64_t max_new_tokens, Precision precision)
    : session_(session), state_(state), max_new_tokens_(max_new_tokens), precision_(precision) {
  if (precision != Precision::kFp32 && !session.model().device().is_cpu())
    fail(ExitCode::kConfig, "--reason-precision int8 is for the CPU; the model is on a GPU (run.device)");
}

ReasonWriter::~ReasonWriter() = default;

std::vector<std::string> ReasonWriter::write(std::span<const ReasonToWrite> reasons, const FeatureBank* features) {
  const at::NoGradGuard no_grad;
  std::map<const void*, LoraHook> hooks;  // by an adapter's factors, which copies share
  std::vector<GenerateRow> rows;
  for (const ReasonToWrite& one : reasons) {
    RowPack pack = pack_row(*one.prompt, one.prompt->prompt_length);
    GenerateRow& row = rows.emplace_back();
    row.prompt = std::move(pack.packed.token);
    if (one.adapter) {
      const void* key = one.adapter->layer(one.adapter->layer_count() - 1).q.a.const_data_ptr();
      row.hook = &hooks.try_emplace(key, *one.adapter).first->second;
    }
    if (!pack.slots.empty()) row.features = features->project(state_.projector, pack.slots).contiguous();
    row.config.max_new_tokens = max_new_tokens_;
    row.config.eos = session_.tokenizer().eos();
    row.config.no_repeat_ngram = kProseNgram;
    row.config.first = one.first;
  }
  std::vector<std::vector<std::int32_t>> tokens;
  if (session_.model().device().is_cpu()) {
    if (!generator_) {
      generator_ = std::make_unique<Generator>(session_.model(),
                                               GeneratorConfig{.precision = precision_, .threads = session_.threads()});
    }
    tokens = generator_->run(std::move(rows));
  } else {
    for (const GenerateRow& row : rows) {
      PackedBatch prompt;
      prompt.add(row.prompt, row.sample);
      tokens.push_back(generate(session_.model(), row.hook, prompt, row.features, row.config)[0]);
    }
  }
  std::vector<std::string> texts;
  for (const std::vector<std::int32_t>& one : tokens) texts.push_back(one_line(session_.tokenizer().decode(one)));
  return texts;
}

}  // namespace thinkrec
