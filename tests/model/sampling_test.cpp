#include "model/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();
using Logits = std::vector<float>;

Logits filtered(Logits logits, const std::vector<std::int32_t>& seen, const GenerateConfig& config) {
  filter_logits(logits, seen, config);
  return logits;
}

TEST(Sampling, PenaltyOnceForEachTokenSeen) {
  GenerateConfig config;
  config.repetition_penalty = 2;
  EXPECT_EQ(filtered({4, -1, 3, 0}, {0, 1, 0, -7}, config), (Logits{2, -2, 3, 0}));
}

TEST(Sampling, NgramsLeaveOutWhatWouldCompleteThem) {
  GenerateConfig config;
  config.no_repeat_ngram = 2;
  EXPECT_EQ(filtered({1, 2, 3, 4}, {2, 3, 2, 1, 2}, config), (Logits{1, kOut, 3, kOut}));
  EXPECT_EQ(filtered({1, 2, 3, 4}, {2}, config), (Logits{1, 2, 3, 4}));
  config.no_repeat_ngram = 1;
  EXPECT_EQ(filtered({1, 2, 3, 4}, {0, 3}, config), (Logits{kOut, 2, 3, kOut}));
}

TEST(Sampling, TopPKeepsTheTokenThatReachesIt) {
  const Logits logits = {std::log(0.1F), std::log(0.5F), std::log(0.15F), std::log(0.25F)};
  GenerateConfig config;
  config.temperature = 1;
  const auto kept = [&](double top_p) {
    config.top_p = top_p;
    std::string mask;
    for (const float logit : filtered(logits, {}, config)) mask += logit == kOut ? '.' : '+';
    return mask;
  };
  EXPECT_EQ(kept(1e-9), ".+..");
  EXPECT_EQ(kept(0.49), ".+..");
  EXPECT_EQ(kept(0.51), ".+.+");
  EXPECT_EQ(kept(0.76), ".+++");
  EXPECT_EQ(kept(0.91), "++++");
  config.temperature = 0;  // greedy: nothing to cut
  EXPECT_EQ(kept(0.1), "++++");
}

TEST(Sampling, DrawsOnlyWhatIsKept) {
  GenerateConfig config;
  config.temperature = 1;
  config.top_p = 0.6;
  std::map<std::int32_t, int> seen;
  for (std::uint64_t sample = 0; sample < 3000; ++sample) {
    Logits logits = {0, 2, 1, 1.9F, -1};
    ++seen[choose_token(logits, {}, 0, sample, config)];
  }
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_NEAR(seen[1] / 3000.0, 1 / (1 + std::exp(-0.1)), 0.03);
}

TEST(Sampling, RefusesSettingsOutOfRange) {
  const auto code = [](auto&& change) {
    GenerateConfig config;
    change(config);
    try {
      check(config);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kOk;
  };
  EXPECT_EQ(code([](GenerateConfig&) {}), ExitCode::kOk);
  EXPECT_EQ(code([](GenerateConfig& c) { c.temperature = -0.1; }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.temperature = std::nan(""); }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.top_p = 0; }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.top_p = 1.01; }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.repetition_penalty = 0; }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.no_repeat_ngram = -1; }), ExitCode::kConfig);
  EXPECT_EQ(code([](GenerateConfig& c) { c.max_new_tokens = -1; }), ExitCode::kConfig);
}

}  // namespace
}  // namespace thinkrec
