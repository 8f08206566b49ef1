#include "train/row_losses.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace thinkrec {

LossBatch make_loss_batch(std::span<const StepRow> rows, const LossWeights& weights, CeSpan span) {
  LossBatch batch;
  std::vector<std::int64_t> needed, yes_index, target;
  std::vector<float> label, bce_weight, ce_weight;
  batch.ce_begin = {0};
  std::vector<RowToPack> to_pack;
  for (const StepRow& row : rows) {
    // The last token predicts nothing that a loss asks for, so it is not fed to the model.
    to_pack.push_back({row.row, static_cast<std::int64_t>(row.row->token.size()) - 1, row.draw, row.group});
  }
  batch.pack = pack_rows(to_pack);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const EncodedRow& row = *rows[r].row;
    const double scale = rows[r].scale;
    const auto length = static_cast<std::int64_t>(row.token.size());
    THINKREC_CHECK(row.answer_length() >= 1 && row.prompt_length >= 1, "a row of {} tokens with a prompt of {}", length,
                   row.prompt_length);
    const double bce = row.reason ? weights.alpha : weights.eta, ce = row.reason ? weights.beta : weights.gamma;
    const std::int64_t first = span == CeSpan::kAnswer ? row.prompt_length - 1 : 0;
    std::int64_t predicted = 0;
    for (std::int64_t i = first; i + 1 < length; ++i) predicted += row.token[static_cast<std::size_t>(i) + 1] >= 0 ? 1 : 0;
    for (std::int64_t i = first; i + 1 < length; ++i) {
      const std::int32_t next = row.token[static_cast<std::size_t>(i) + 1];
      if (i == row.prompt_length - 1) yes_index.push_back(static_cast<std::int64_t>(needed.size()));
      needed.push_back(batch.pack.place(r, i));
      target.push_back(std::max<std::int64_t>(next, 0));
      ce_weight.push_back(next < 0 ? 0.0F
                                   : static_cast<float>(ce * scale / static_cast<double>(predicted)));  // a slot is no word
    }
    batch.ce_begin.push_back(static_cast<std::int64_t>(needed.size()));
    label.push_back(row.label);
    bce_weight.push_back(static_cast<float>(bce * scale));
  }
  batch.needed = at::tensor(needed, at::kLong);
  batch.yes_index = at::tensor(yes_index, at::kLong);
  batch.target = at::tensor(target, at::kLong);
  batch.label = at::tensor(label, at::kFloat);
  batch.bce_weight = at::tensor(bce_weight, at::kFloat);
  batch.ce_weight = at::tensor(ce_weight, at::kFloat);
  return batch;
}

}  // namespace thinkrec
