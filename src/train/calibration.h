#pragma once
// How much of the encoder's own logit is added to the language model's, chosen on valid rows of users by whom no adapter was chosen.
// The encoder itself was chosen on all valid rows.

#include <nlohmann/json.hpp>
#include <string>

#include "train/stages.h"

namespace thinkrec {

/// Valid rows to calibrate on: of users by whom no adapter was chosen, or, where there are no others, of all.
struct CalibrationRows {
  std::vector<std::int64_t> rows;  ///< sorted by user, then time
  bool fresh = true;               ///< false: adapters were chosen by these users
};
CalibrationRows calibration_rows(const Dataset& dataset, const Recipe& recipe);

/// Scores evaluate.calibration_rows valid rows, or some more (whole users), by the fused experts and by the encoder, and takes the share of the
/// encoder, from 0 to .9 in tenths of standard deviations, whose sum scores best as checkpoints are judged: AUC / 4 + UAUC / 3. Users of the
/// sample that adapters were chosen by are left out; where no others are left (valid.rows is 0), all take part. Collective; every rank gets
/// the same. With evaluate.calibration_rows = 0 there is nothing to add.
Calibration calibrate(const Session& session, const RunState& state);

/// <run>/calibration.json; no file: nothing to add. kBadData naming what is wrong with it.
void save_calibration(const std::string& path, const Calibration& calibration);
Calibration load_calibration(const std::string& path);

/// {"rows", "users", "share", "encoder_weight", "tried": [{"share", "auc", "uauc"}]}.
nlohmann::ordered_json calibration_json(const Calibration& calibration);

}  // namespace thinkrec
