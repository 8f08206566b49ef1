#pragma once
// The scores that thinkrec_eval and the evaluate stage write (scores.csv), read back to compare runs row by row.

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/bootstrap.h"

namespace thinkrec {

/// One model's scores of one file, ascending by row.
struct ScoreFile {
  std::string name;               ///< "file:model"
  std::vector<std::int64_t> row;  ///< of the data set
  std::vector<std::string> user;  ///< parallel to row, as the two below
  std::vector<std::uint8_t> label;
  std::vector<double> score;
};

/// Reads FILE[:MODEL], plain or gzip; without a MODEL the file's last column. kNoInput, kBadData (file:line) for a column that is not
/// there, a row that comes twice, a label that is not 0 or 1, a score that is no number; kBadData for a file without rows.
ScoreFile read_score_file(const std::string& file_and_model);

/// The counting baselines that the first of `files` ("file:model", as for read_score_file) has and none of them names.
std::vector<ScoreFile> counting_baselines(std::span<const ScoreFile> files);

struct ComparedScores {
  std::string name;
  RankingMetrics metrics;
  MetricIntervals intervals;
  PairedDifference difference;  ///< this one - the first; zeros for the first itself
};

struct Comparison {
  std::int64_t rows = 0, users = 0;  ///< common to all files
  std::vector<ComparedScores> models;
};

/// On the rows that all files have. kUsage for less than two files; kBadData when they share no row, or a row's user or label differs
/// (another data set). Errors of user_bootstrap.
Comparison compare_scores(std::span<const ScoreFile> files, int k, int resamples, std::uint64_t seed);

}  // namespace thinkrec
