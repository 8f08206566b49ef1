// Scores do not depend on the company: candidates of one user together, one by one, in passes of any size, and on any number of ranks.
#include "train/scorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "support/mpi_world.h"
#include "support/tensors.h"
#include "support/tiny_model.h"

namespace thinkrec::testing {
namespace {

constexpr std::int32_t kYes = 11;
constexpr std::int64_t kUsers = 3, kCandidates = 8;

/// Prompts of some users, which begin alike for a user and end differently in items and length.
struct Prompts {
  std::vector<EncodedRow> rows;
  std::vector<std::int32_t> user;
  explicit Prompts(std::int64_t vocab) {
    for (std::int64_t u = 0; u < kUsers; ++u) {
      const auto begin = random_rows({30 + 7 * u}, vocab, static_cast<unsigned>(u))[0];
      for (std::int64_t i = 0; i < kCandidates; ++i) {
        EncodedRow& row = rows.emplace_back();
        row.token = begin;
        const auto end = random_rows({3 + i % 4}, vocab, static_cast<unsigned>(100 + u * kCandidates + i))[0];
        row.token.insert(row.token.end(), end.begin(), end.end());
        row.prompt_length = static_cast<std::int64_t>(row.token.size());
        user.push_back(static_cast<std::int32_t>(u));
      }
    }
  }
};

LoraAdapter trained_adapter(const LlamaConfig& config, unsigned seed) {
  LoraAdapter adapter(config, {4, 8, 0}, seed);
  for (auto& [name, tensor] : adapter.named()) {
    if (name.ends_with("lora_B")) tensor.copy_(normal_tensor(tensor.sizes(), seed, 0.1));
  }
  return adapter;
}

class ScorerTest : public ::testing::Test {
 protected:
  Scorer scorer(std::int64_t pass_tokens = 4096) { return {*model_, none_, nullptr, kYes, pass_tokens, test_world()}; }

  TinyModel model_{tiny_config()};
  Prompts prompts_{model_->config().vocab};
  Projector none_;
};

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-5) << "row " << i;
}

TEST_F(ScorerTest, CandidatesTogetherAreThoseOneByOne) {
  const LoraAdapter adapter = trained_adapter(model_->config(), 3);
  const auto together = scorer().score(prompts_.rows, prompts_.user, &adapter);
  std::vector<std::int32_t> apart(prompts_.rows.size());  // a user each, so that none shares
  std::iota(apart.begin(), apart.end(), 0);
  expect_near(together, scorer().score(prompts_.rows, apart, &adapter));
  expect_near(together, scorer(60).score(prompts_.rows, prompts_.user, &adapter));  // a user's rows in several passes
  EXPECT_GT(*std::ranges::max_element(together) - *std::ranges::min_element(together), 0.1) << "too alike to show anything";
}

TEST_F(ScorerTest, APassHoldsTheTokensItMay) {
  const auto passes = [&](std::int64_t tokens) {
    std::int64_t own = 0;
    scorer(tokens).score(prompts_.rows, prompts_.user, nullptr, [&](std::int64_t, std::int64_t) { ++own; });
    test_world().all_reduce_sum(std::span(&own, 1));
    return own;
  };
  std::int64_t longest = 0;  // tokens of a user's rows together
  for (std::int64_t u = 0; u < kUsers; ++u) {
    std::int64_t tokens = 30 + 7 * u;
    for (std::int64_t i = 0; i < kCandidates; ++i) tokens += 3 + i % 4;
    longest = std::max(longest, tokens);
  }
  EXPECT_EQ(passes(longest), kUsers);
  EXPECT_GT(passes(longest / 2), kUsers);
  EXPECT_EQ(scoring_tokens(longest, *model_), 4 * longest) << "on a CPU, where rows share what they begin with";
}

TEST_F(ScorerTest, EachUserUnderItsOwnAdapterAboveTheCut) {
  const LoraAdapter lower = trained_adapter(model_->config(), 3);
  const std::int64_t cut = model_->config().layers - 1;
  std::vector<LoraAdapter> own;
  for (unsigned u = 0; u < kUsers; ++u) {
    own.push_back(trained_adapter(model_->config(), 10 + u));
    const NamedTensors below = own.back().named(0, cut), wanted = lower.named(0, cut);
    for (std::size_t i = 0; i < below.size(); ++i) at::Tensor(below[i].second).copy_(wanted[i].second);
  }
  const TopAdapterOf tops[] = {[&](std::int32_t user) {
                                 return TopAdapter{true, &own[static_cast<std::size_t>(user)]};
                               },
                               [&](std::int32_t user) {
                                 return TopAdapter{user != 1, &lower};
                               }};
  const auto scores = scorer().score(prompts_.rows, prompts_.user, &lower, cut, tops);
  const auto everyone = scorer().score(prompts_.rows, prompts_.user, &lower);
  for (std::int32_t user = 0; user < kUsers; ++user) {
    const auto alone = scorer().score(prompts_.rows, prompts_.user, &own[static_cast<std::size_t>(user)]);
    for (std::size_t i = 0; i < prompts_.user.size(); ++i) {
      if (prompts_.user[i] != user) continue;
      EXPECT_NEAR(scores[0][i], alone[i], 1e-5);
      if (user == 1) {
        EXPECT_TRUE(std::isnan(scores[1][i]));
      } else {
        EXPECT_NEAR(scores[1][i], everyone[i], 1e-5);
      }
    }
  }
}

TEST_F(ScorerTest, ARequestToStopIsHeardWithinAPass) {
  Scorer asked = scorer();
  int times = 0, scored = 0;
  asked.stop_when([&] { return ++times > 1; });
  const TopAdapterOf counted = [&](std::int32_t) {
    ++scored;
    return TopAdapter{};
  };
  const std::vector<TopAdapterOf> tops(5, counted);
  EXPECT_THROW(asked.score(prompts_.rows, prompts_.user, nullptr, 1, tops), Error);
  EXPECT_LE(scored, 1);
}

TEST_F(ScorerTest, ARequestToStopEndsItOnEveryRank) {
  Scorer asked = scorer(60);
  int passes = 0;
  asked.stop_when([&] { return test_world().rank() == test_world().size() - 1 && ++passes > 1; });
  try {
    asked.score(prompts_.rows, prompts_.user, nullptr);
    ADD_FAILURE() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kStopped);
  }
}

}  // namespace
}  // namespace thinkrec::testing
