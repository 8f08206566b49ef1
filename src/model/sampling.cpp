#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

void penalize(std::span<float> logits, std::span<const std::int32_t> seen, float penalty) {
  std::vector<std::int32_t> tokens(seen.begin(), seen.end());
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  for (const std::int32_t token : tokens) {
    if (token < 0) continue;
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit < 0 ? logit * penalty : logit / penalty;
  }
}

/// Leaves out the tokens that would complete an n-gram that `seen` already holds.
void ban_ngrams(std::span<float> logits, std::span<const std::int32_t> seen, std::int64_t n) {
  const auto size = static_cast<std::int64_t>(seen.size());
  for (std::int64_t i = 0; i + n <= size; ++i) {
    const std::int32_t next = seen[static_cast<std::size_t>(i + n - 1)];
    if (next >= 0 && std::equal(seen.begin() + i, seen.begin() + i + n - 1, seen.end() - (n - 1)))
      logits[static_cast<std::size_t>(next)] = kOut;
  }
}

/// exp(logit - highest) of each token, and their sum.
double odds_of(std::span<const float> logits, std::vector<float>& odds) {
  const float top = *std::max_element(logits.begin(), logits.end());
  odds.resize(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) total += odds[i] = std::exp(logits[i] - top);
  return total;
}

/// A token stays while those that are likelier do not reach `top_p`; the likeliest always does.
void keep_likeliest(std::span<float> logits, double top_p) {
  std::vector<float> odds;
  const double enough = odds_of(logits, odds) * top_p;
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto likelier = [&](std::size_t a, std::size_t b) { return odds[a] != odds[b] ? odds[a] > odds[b] : a < b; };
  double reached = 0;
  // Sorted piece by piece, each twice as long: most of the vocabulary never is.
  for (std::size_t from = 0, piece = 128; from < order.size(); from += piece, piece *= 2) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(from + piece, order.size()));
    std::partial_sort(begin, end, order.end(), likelier);
    for (auto token = begin; token != end; ++token) {
      if (token != order.begin() && reached >= enough) {
        for (; token != order.end(); ++token) logits[*token] = kOut;
        return;
      }
      reached += odds[*token];
    }
  }
}

}  // namespace

void check(const GenerateConfig& config) {
  const auto refuse = [](const char* name, double value, const char* range) {
    fail(ExitCode::kConfig, "{} is {}; it must be {}", name, value, range);
  };
  if (!(config.temperature >= 0)) refuse("temperature", config.temperature, "0 (greedy) or more");
  if (!(config.top_p > 0 && config.top_p <= 1)) refuse("top_p", config.top_p, "above 0 and at most 1");
  if (!(config.repetition_penalty > 0)) refuse("repetition_penalty", config.repetition_penalty, "above 0; 1 is none");
  if (config.no_repeat_ngram < 0) refuse("no_repeat_ngram", static_cast<double>(config.no_repeat_ngram), "0 (off) or more");
  if (!config.opening.empty() && config.opening.size() != config.first.size()) {
    fail(ExitCode::kConfig, "{} openings for {} first tokens", config.opening.size(), config.first.size());
  }
  if (config.max_new_tokens < 0) refuse("max_new_tokens", static_cast<double>(config.max_new_tokens), "0 or more");
}

void filter_logits(std::span<float> logits, std::span<const std::int32_t> seen, const GenerateConfig& config) {
  if (config.repetition_penalty != 1) penalize(logits, seen, static_cast<float>(config.repetition_penalty));
  if (config.no_repeat_ngram > 0) ban_ngrams(logits, seen, config.no_repeat_ngram);
  if (config.temperature <= 0) return;
  for (float& logit : logits) logit /= static_cast<float>(config.temperature);
  if (config.top_p < 1) keep_likeliest(logits, config.top_p);
}

std::int32_t choose_token(std::span<float> logits, std::span<const std::int32_t> seen, std::int64_t place, std::uint64_t sample,
                          const GenerateConfig& config) {
  if (place == 0 && !config.first.empty()) {
    return *std::max_element(config.first.begin(), config.first.end(), [&](std::int32_t a, std::int32_t b) {
      return logits[static_cast<std::size_t>(a)] < logits[static_cast<std::size_t>(b)];
    });
  }
  if (!config.opening.empty()) {
    const auto choice = std::find(config.first.begin(), config.first.end(), seen[seen.size() - static_cast<std::size_t>(place)]);
    const auto& opening = config.opening[static_cast<std::size_t>(choice - config.first.begin())];
    if (place <= static_cast<std::int64_t>(opening.size())) return opening[static_cast<std::size_t>(place) - 1];
  }
  filter_logits(logits, seen, config);
  const auto likeliest = [&] {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  };
  if (config.temperature <= 0) return likeliest();
  std::vector<float> odds;
  const double total = odds_of(logits, odds);
  std::seed_seq sequence{config.seed & 0xffffffffU, config.seed >> 32, sample & 0xffffffffU, sample >> 32,
                         static_cast<std::uint64_t>(place)};
  std::mt19937_64 generator(sequence);
  double left = static_cast<double>(generator() >> 11) * 0x1.0p-53 * total;
  for (std::size_t i = 0; i < odds.size(); ++i) {
    left -= odds[i];
    if (left < 0) return static_cast<std::int32_t>(i);
  }
  return likeliest();
}

}  // namespace thinkrec
