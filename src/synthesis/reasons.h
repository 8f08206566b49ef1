#pragma once
// Reasons from a language model (paper, section 3.2.1 and appendix B.3): ask for a verdict and an explanation, keep it when the parsed
// verdict is right; else reveal the correct answer and ask again.

#include <functional>

#include "data/dataset.h"
#include "synthesis/reply.h"
#include "synthesis/rounds.h"

namespace thinkrec {

struct ReasonConfig {
  std::int64_t rows = 32;          ///< reasons that the data set shall have in the end
  std::int64_t history = 8;        ///< items of the history that are shown
  std::int64_t max_tokens = 96;    ///< of a reply; up to 4 times as many where thinking used them up and left no reply
  std::int64_t turns = 4;          ///< times that a row is asked about at most
  std::int64_t most_tried = 0;     ///< rows tried at most; 0: 8 * rows
  ReasonBounds bounds;             ///< of the explanation
  bool reveal = false;             ///< only replies that knew the right answer are kept: none of a row's first turn
  bool thinking = false;           ///< what is stored is what the model thought, not what it replied
  bool retry_failed = false;       ///< also rows that this model has failed already
  std::vector<std::int64_t> from;  ///< train rows to choose from; empty: all
  std::uint64_t seed = 0;          ///< which are tried first
};

struct ReasonReport : SynthesisCounts {
  std::int64_t had = 0;                ///< reasons before
  std::vector<std::int64_t> accepted;  ///< [turns], by the turn that brought them
  std::int64_t failed = 0;             ///< rows without a right verdict and an explanation after all turns
  std::int64_t skipped = 0;            ///< rows that this model has failed before
};

/// The train rows that the scores of a file say wrongly: liked with a score at or below the threshold, or disliked above it. Errors of
/// read_score_file; kBadData for a row that is not of train, or whose user or label the data set has otherwise, or when none is wrong.
std::vector<std::int64_t> wrong_rows(const Dataset& dataset, const std::string& file_and_model, double threshold);

/// The rows of a split whose user has at least `history` interactions before them. kBadData when there is none.
std::vector<std::int64_t> rows_with_history(const Dataset& dataset, Split split, std::int64_t history);

/// Reasons as references for thinkrec_eval --text: JSON lines {"row", "reference", "source"}, the source being the reason's provenance.
/// Reading gives nothing where there is no file; kBadData (file:line) for a row that is not of the split or is there twice, or an empty text.
std::vector<Reason> read_references(const std::string& path, const Dataset& dataset, Split split);
void write_references(const std::string& path, std::span<const Reason> references);

/// Appends reasons to the data set until it has config.rows of them. Rows that have a reason are skipped, so a second call goes on where the
/// first ended. A row that fails is listed in `failures`: one whose verdicts were wrong is not tried again with the same model and settings,
/// one that got no answer is. `saved` is called after each round, with data set and failures in a state worth saving. Errors of the
/// backend, and Reachability.
ReasonReport synthesize_reasons(Dataset& dataset, ChatBackend& backend, Journal& journal, FailureList& failures,
                                const ReasonConfig& config, const std::function<void(const ReasonReport&)>& saved);

}  // namespace thinkrec
