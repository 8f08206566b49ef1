#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/error.h"

namespace thinkrec {
namespace {

/// Tokens that would complete an n-gram that `text` already holds.
std::set<std::int32_t> banned_tokens(const std::vector<std::int32_t>& text, std::int64_t n) {
  std::set<std::int32_t> banned;
  const auto size = static_cast<std::int64_t>(text.size());
  if (n < 1 || size < n) return banned;
  for (std::int64_t i = 0; i + n <= size; ++i) {
    if (std::equal(text.begin() + i, text.begin() + i + n - 1, text.end() - (n - 1)))
      banned.insert(text[static_cast<std::size_t>(i + n - 1)]);
  }
  return banned;
}

std::int32_t choose(at::Tensor logits, const GenerateConfig& config, const std::vector<std::int32_t>& text,
                    std::uint64_t sample) {
  float* values = logits.mutable_data_ptr<float>();
  const std::int64_t vocab = logits.numel();
  if (text.empty() && !config.first.empty()) {
    return *std::max_element(config.first.begin(), config.first.end(),
                             [&](std::int32_t a, std::int32_t b) { return values[a] < values[b]; });
  }
  for (const std::int32_t token : banned_tokens(text, config.no_repeat_ngram))
    values[token] = -std::numeric_limits<float>::infinity();
  if (config.temperature <= 0) return static_cast<std::int32_t>(std::max_element(values, values + vocab) - values);
  const at::Tensor probabilities = at::softmax(logits.to(at::kDouble) / config.temperature, 0);
  const std::uint64_t place = text.size();
  std::seed_seq sequence{config.seed & 0xffffffffU, config.seed >> 32, sample & 0xffffffffU, sample >> 32, place};
  std::mt19937_64 generator(sequence);
  double left = static_cast<double>(generator() >> 11) * 0x1.0p-53;
  const double* p = probabilities.const_data_ptr<double>();
  for (std::int64_t i = 0; i < vocab; ++i) {
    left -= p[i];
    if (left < 0) return static_cast<std::int32_t>(i);
  }
  return static_cast<std::int32_t>(std::max_element(p, p + vocab) - p);
}

}  // namespace

std::vector<std::vector<std::int32_t>> generate(const Llama& model, const ProjectionHook* hook, const PackedBatch& prompts,
                                                const at::Tensor& features, const GenerateConfig& config) {
  const at::NoGradGuard no_grad;
  const std::int64_t rows = prompts.rows();
  std::vector<std::vector<std::int32_t>> text(static_cast<std::size_t>(rows));
  if (rows == 0 || config.max_new_tokens == 0) return text;
  std::int64_t longest = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    THINKREC_CHECK(prompts.length(row) > 0, "prompt {} is empty", row);
    longest = std::max(longest, prompts.length(row));
  }
  KvCache cache(model.config(), rows, longest + config.max_new_tokens, model.options());
  PackedBatch batch = prompts;
  at::Tensor slots = features;
  std::vector<bool> open(static_cast<std::size_t>(rows), true);
  for (std::int64_t made = 0; made < config.max_new_tokens; ++made) {
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
      const std::uint64_t sample = prompts.sample[static_cast<std::size_t>(prompts.begin[row])];
      const std::int32_t token = choose(logits[static_cast<std::int64_t>(i)], config, text[row], sample);
      const bool ends =
          (config.eos && token == *config.eos) || std::find(config.stop.begin(), config.stop.end(), token) != config.stop.end();
      if (ends) {
        open[row] = false;
      } else {
        text[row].push_back(token);
        chosen[row] = token;
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

}  // namespace thinkrec
