#include "model/generate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/error.h"
#include "model/generator.h"

namespace thinkrec {
namespace {

using Rows = std::vector<std::vector<std::int32_t>>;
constexpr std::int64_t kRowsAtOnce = 64;  // more do not make the CPU faster, and take memory

const GenerateConfig& of_row(std::span<const GenerateConfig> configs, std::int64_t row) {
  return configs[configs.size() == 1 ? 0 : static_cast<std::size_t>(row)];
}

std::int64_t most_tokens(std::span<const GenerateConfig> configs) {
  std::int64_t most = 0;
  for (const GenerateConfig& config : configs) most = std::max(most, config.max_new_tokens);
  return most;
}

}  // namespace

std::vector<std::vector<std::int32_t>> generate_together(const Llama& model, const ProjectionHook* hook,
                                                         const PackedBatch& prompts, const at::Tensor& features,
                                                         std::span<const GenerateConfig> configs) {
  const at::NoGradGuard no_grad;
  const std::int64_t rows = prompts.rows();
  Rows text(static_cast<std::size_t>(rows));
  const std::int64_t vocab = model.config().vocab;
  std::vector<std::int64_t> room;  // new tokens that each row may have
  std::int64_t most = 0, capacity = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    room.push_back(most_new_tokens(model, prompts.length(row), of_row(configs, row)));
    most = std::max(most, room.back());
    capacity = std::max(capacity, prompts.length(row) + room.back());
  }
  KvCache cache(model.config(), rows, capacity, model.options());
  PackedBatch batch = prompts;
  at::Tensor slots = features;
  std::vector<bool> open(static_cast<std::size_t>(rows), true);
  for (std::int64_t made = 0; made < most; ++made) {
    std::vector<std::int64_t> last, row_of;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (batch.length(row) == 0) continue;
      last.push_back(batch.begin[static_cast<std::size_t>(row) + 1] - 1);
      row_of.push_back(row);
    }
    if (row_of.empty()) break;
    const at::Tensor needed = at::tensor(last).to(model.device());
    const at::Tensor logits =
        model.logits(model.final_norm(model.layers_cached(model.embed(batch, slots), batch, hook, cache, needed)))
            .to(at::kCPU, at::kFloat)
            .contiguous();
    PackedBatch next;
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(rows), -1);
    for (std::size_t i = 0; i < row_of.size(); ++i) {
      const auto row = static_cast<std::size_t>(row_of[i]);
      const GenerateConfig& config = of_row(configs, row_of[i]);
      const std::uint64_t sample = prompts.sample[static_cast<std::size_t>(prompts.begin[row])];
      std::vector<std::int32_t> seen;
      if (config.remember_prompt)
        seen.assign(prompts.token.begin() + prompts.begin[row], prompts.token.begin() + prompts.begin[row + 1]);
      seen.insert(seen.end(), text[row].begin(), text[row].end());
      const std::span<float> own(logits.mutable_data_ptr<float>() + static_cast<std::int64_t>(i) * vocab,
                                 static_cast<std::size_t>(vocab));
      const std::int32_t token = choose_token(own, seen, static_cast<std::int64_t>(text[row].size()), sample, config);
      const bool ends = room[row] == 0 || (config.eos && token == *config.eos) ||
                        std::find(config.stop.begin(), config.stop.end(), token) != config.stop.end();
      if (ends) {
        open[row] = false;
      } else {
        text[row].push_back(token);
        chosen[row] = token;
        open[row] = static_cast<std::int64_t>(text[row].size()) < room[row];
      }
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto r = static_cast<std::size_t>(row);
      const std::span<const std::int32_t> one(&chosen[r], open[r] ? 1 : 0);
      next.add(one, prompts.sample[static_cast<std::size_t>(prompts.begin[r])], static_cast<std::uint32_t>(cache.length(row)));
    }
    batch = std::move(next);
    slots = at::Tensor();
  }
  return text;
}

std::vector<std::vector<std::int32_t>> generate(const Llama& model, const ProjectionHook* hook, const PackedBatch& prompts,
                                                const at::Tensor& features, std::span<const GenerateConfig> configs) {
  const std::int64_t rows = prompts.rows();
  THINKREC_CHECK(configs.size() == 1 || static_cast<std::int64_t>(configs.size()) == rows, "{} settings for {} prompts",
                 configs.size(), rows);
  for (const GenerateConfig& config : configs) check(config);
  for (std::int64_t row = 0; row < rows; ++row) THINKREC_CHECK(prompts.length(row) > 0, "prompt {} is empty", row);
  if (rows == 0 || most_tokens(configs) == 0) return Rows(static_cast<std::size_t>(rows));
  if (!model.device().is_cpu()) return generate_together(model, hook, prompts, features, configs);
  Generator generator(model, {.rows = std::min(rows, kRowsAtOnce), .threads = at::get_num_threads()});
  std::vector<GenerateRow> asked;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto from = prompts.begin[static_cast<std::size_t>(row)], to = prompts.begin[static_cast<std::size_t>(row) + 1];
    asked.push_back({{prompts.token.begin() + from, prompts.token.begin() + to},
                     features,
                     prompts.sample[static_cast<std::size_t>(from)],
                     hook,
                     of_row(configs, row)});
  }
  return generator.run(std::move(asked));
}

}  // namespace thinkrec
