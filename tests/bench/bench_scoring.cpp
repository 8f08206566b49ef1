// bench_scoring DATA.h5 MODEL [THREADS] [USERS]: rows a second of scoring candidates of one user together and one by one, and of the test
// rows under one adapter and under each user's own sum of experts, as one JSON object (docs/performance.md). The product's own prompts and
// scorer; adapters are random, which costs the same.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/open_row.h"
#include "data/prompt.h"
#include "text/tokenizer.h"
#include "train/device.h"
#include "train/session.h"
#include "train/scorer.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

constexpr std::int64_t kCandidates = 100, kAlone = 10;  // every kAlone-th candidate is scored alone, too
constexpr std::int64_t kMicroTokens = 2048;             // run.micro_tokens as it comes
constexpr int kRepeats = 3, kExperts = 4;

struct Scored {
  std::vector<double> scores;
  std::vector<double> seconds;  // of each repeat
};

template <class Body>
void timed(Scored& result, const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  result.scores = body();
  result.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Relative to the score, a raw logit, where that is above 1.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

LoraAdapter random_adapter(const LlamaConfig& shape, std::uint64_t seed) {
  LoraAdapter adapter(shape, LoraConfig{}, seed);
  at::manual_seed(seed);
  for (auto& [name, value] : adapter.named()) {
    if (name.find("lora_B") != std::string::npos) value.normal_(0, .02);
  }
  return adapter;
}

PromptConfig prompt_of(std::int64_t history) {
  PromptConfig config;
  config.template_text = prompt_template("text");
  config.features = false;
  config.history = history;
  return config;
}

/// The candidates of the user with the longest history, who has more than any prompt shows: all together, and every tenth of them alone.
Json candidates(const Dataset& data, const Tokenizer& tokenizer, const Scorer& scorer, const LoraAdapter& adapter,
                std::int64_t history) {
  std::int64_t user = 0;
  for (std::int64_t u = 1; u < static_cast<std::int64_t>(data.users.size()); ++u) {
    const auto count = [&](std::int64_t of) {
      return data.user_begin[static_cast<std::size_t>(of) + 1] - data.user_begin[static_cast<std::size_t>(of)];
    };
    if (count(u) > count(user)) user = u;
  }
  const auto [open, row] = with_open_row(data, user);
  const PromptBuilder prompts(open, tokenizer, prompt_of(history));
  std::vector<EncodedRow> rows, some;
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < kCandidates; ++i) {
    const auto item = static_cast<std::int32_t>(i * static_cast<std::int64_t>(data.items.size()) / kCandidates);
    rows.push_back(prompts.prompt_for(user, row, item));
    tokens += rows.back().prompt_length;
    if (i % kAlone == 0) some.push_back(rows.back());
  }
  const std::vector<std::int32_t> one(rows.size(), 0);
  std::vector<std::int32_t> apart(some.size());  // a user each, so that none shares
  std::iota(apart.begin(), apart.end(), 0);
  std::vector<double> ratio;
  Scored together, alone;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    timed(together, [&] { return scorer.score(rows, one, &adapter); });
    timed(alone, [&] { return scorer.score(some, apart, &adapter); });
    ratio.push_back(alone.seconds.back() / static_cast<double>(some.size()) * kCandidates / together.seconds.back());
  }
  std::vector<double> same;  // of those that were scored alone, too
  for (std::size_t i = 0; i < rows.size(); i += kAlone) same.push_back(together.scores[i]);
  return {{"history", history},
          {"candidates", kCandidates},
          {"tokens_a_prompt", static_cast<double>(tokens) / kCandidates},
          {"rows_per_s", kCandidates / median(together.seconds)},
          {"rows_per_s_one_by_one", static_cast<double>(some.size()) / median(alone.seconds)},
          {"ratio", median(ratio)},
          {"score_range", {std::ranges::min(alone.scores), std::ranges::max(alone.scores)}},
          {"largest_difference", largest_difference(same, alone.scores)}};
}

/// All test rows of some users, under the global adapter and under each user's own weighted sum of experts in the last quarter of layers.
Json fused(const Dataset& data, const Tokenizer& tokenizer, const Scorer& scorer, const LlamaConfig& shape, std::int64_t users) {
  const std::int64_t cut = shape.layers - std::max<std::int64_t>(1, shape.layers / 4);
  std::vector<LoraAdapter> experts;
  for (int e = 0; e < kExperts; ++e) experts.push_back(random_adapter(shape, static_cast<std::uint64_t>(e + 1)));
  const PromptBuilder prompts(data, tokenizer, prompt_of(10));
  std::vector<EncodedRow> rows;
  std::vector<std::int32_t> user;
  std::map<std::int32_t, LoraAdapter> own;
  std::vector<std::int64_t> test = data.rows(Split::kTest);
  std::ranges::stable_sort(test, {}, [&](std::int64_t row) { return data.user[static_cast<std::size_t>(row)]; });
  for (const std::int64_t row : test) {
    const std::int32_t u = data.user[static_cast<std::size_t>(row)];
    if (!own.contains(u) && static_cast<std::int64_t>(own.size()) == users) break;
    own.try_emplace(u);
    rows.push_back(prompts.prompt(row));
    user.push_back(u);
  }
  const TopAdapterOf everyone = [&](std::int32_t) { return TopAdapter{true, &experts[0]}; };
  const TopAdapterOf each = [&](std::int32_t u) { return TopAdapter{true, &own.at(u)}; };
  std::vector<double> ratio;
  Scored of_all, of_each;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    timed(of_all, [&] { return scorer.score(rows, user, &experts[0], cut, std::span(&everyone, 1))[0]; });
    timed(of_each, [&] {
      for (auto& [u, adapter] : own) {
        const double turn = u % 7;
        adapter = merge_adapters(experts, {.4 - turn / 70, .3, .2, .1 + turn / 70}, cut);
      }
      return scorer.score(rows, user, &experts[0], cut, std::span(&each, 1))[0];
    });
    ratio.push_back(of_all.seconds.back() / of_each.seconds.back());
  }
  const auto count = static_cast<double>(rows.size());
  return {{"users", own.size()},
          {"rows", rows.size()},
          {"experts", kExperts},
          {"rows_per_s_global", count / median(of_all.seconds)},
          {"rows_per_s_fused", count / median(of_each.seconds)},
          {"ratio", median(ratio)}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "usage: %s DATA.h5 MODEL [THREADS, 1] [USERS, 40]\n", argv[0]);
    return 2;
  }
  try {
    at::set_num_threads(argc > 3 ? std::atoi(argv[3]) : 1);
    set_up_cpu_memory();  // as the programs that score
    const auto ranks = make_solo_collectives();
    const SharedModel model(argv[2], *ranks);
    const Dataset data = load_dataset(argv[1]);
    const auto tokenizer = load_tokenizer(argv[2]);
    const LlamaConfig& shape = model.llama().config();
    const Projector none;
    const PromptBuilder prompts(data, *tokenizer, prompt_of(10));
    const Scorer scorer(model.llama(), none, nullptr, prompts.verdicts().yes, scoring_tokens(kMicroTokens, model.llama()),
                        *ranks);
    const LoraAdapter adapter = random_adapter(shape, 9);
    Json out = {{"threads", at::get_num_threads()}};
    for (const std::int64_t history : {10, 25}) out["candidates"].push_back(candidates(data, *tokenizer, scorer, adapter, history));
    out["fused"] = fused(data, *tokenizer, scorer, shape, argc > 4 ? std::atoi(argv[4]) : 40);
    std::puts(out.dump(1).c_str());
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_scoring: %s\n", error.what());
    return 1;
  }
}
