#pragma once
// Reference reasons: which rows of a split are explained, and what a good reason for each would be.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/session.h"

namespace thinkrec {

struct ReferenceReason {
  std::int64_t row = 0;  ///< interaction index
  std::string text;
  std::string source;  ///< who wrote it; "self-reference ..." where it is the judged runs' own base model
};

/// Up to `count` rows of the split whose history holds at least `history` interactions, in a seeded order.
std::vector<std::int64_t> rows_with_history(const Dataset& dataset, Split split, std::int64_t history, std::int64_t count,
                                            std::uint64_t seed);

/// Reasons for these rows by the session's base model, which is told the right verdict and begins with it; rows without a usable
/// reply are left out. To be read with care: the judged models are grown from the one that writes the references.
std::vector<ReferenceReason> self_references(const Session& session, std::span<const std::int64_t> rows,
                                             std::int64_t max_new_tokens);

/// JSON lines {"row": INTEGER, "reference": TEXT, "source": TEXT}. kNoInput; kBadData with file:line for a row that is not of the
/// split or is there twice, or an empty text, and for a file without a row.
std::vector<ReferenceReason> read_references(const std::string& path, const Dataset& dataset, Split split);
void write_references(const std::string& path, std::span<const ReferenceReason> references);

}  // namespace thinkrec
