#pragma once
// Reasons for rows of the data set, from a finished run: what the text metrics judge.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/stages.h"

namespace thinkrec {

/// Whose words: the base model's, asked in text; the global adapter's; those of the adapter that serves the row's user.
enum class Explainer { kUntrained, kGlobal, kFused };
inline constexpr const char* kExplainerNames[] = {"untrained", "global", "fused"};

/// One reason a row, greedy, in one line: a verdict, which of the two being the model's own choice, and what it says behind it.
std::vector<std::string> explain_rows(const Session& session, const RunState& state, Explainer explainer,
                                      std::span<const std::int64_t> rows, std::int64_t max_new_tokens);

}  // namespace thinkrec
