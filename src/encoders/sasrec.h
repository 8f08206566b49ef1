#pragma once
// SASRec as an Encoder: the user's vector before an interaction is the network's state after the items of its window.

#include <memory>

#include "encoders/encoder.h"
#include "encoders/parameters.h"

namespace thinkrec {

std::unique_ptr<Encoder> train_sasrec(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                      const ValidScore& valid_score, const EncoderReport& report);
std::unique_ptr<Encoder> restore_sasrec(const EncoderConfig& config, const Dataset& dataset, const NamedTensors& parameters);

}  // namespace thinkrec
