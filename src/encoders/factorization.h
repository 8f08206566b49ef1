#pragma once
// Matrix factorisation and LightGCN as Encoders. Both learn a table of users and one of items; the users' table only serves to
// train the items. The vector of a user at a moment, with or without train rows, is folded in from their history (FoldIn).
//   score = (g + u) . (c + i):  g, the mean user, makes g . i the item's bias; c, the mean item, makes u . c the user's bias.
// u and i are rows of the tables (mf), or the mean over the layers of their propagation along the train positives (lightgcn).

#include <memory>

#include "encoders/encoder.h"
#include "encoders/parameters.h"

namespace thinkrec {

/// After training, the ridge of the fold-in is the best on valid of config.ridge x {1/10, 1/3, 1, 3, 10}.
std::unique_ptr<Encoder> train_factorization(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                             const ValidScore& valid_score, const EncoderReport& report);
std::unique_ptr<Encoder> restore_factorization(const EncoderConfig& config, const Dataset& dataset,
                                               const NamedTensors& parameters);

}  // namespace thinkrec
