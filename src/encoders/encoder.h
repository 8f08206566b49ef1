#pragma once
// Collaborative encoders: what a user likes and what an item is like, as vectors of one width whose dot product is the logit of
// "this user will like this item". Trained on explicit labels with binary cross-entropy, no negative sampling.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/collectives.h"
#include "data/dataset.h"
#include "encoders/encoder_config.h"

namespace thinkrec {

class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual const EncoderConfig& config() const = 0;
  /// Of the vectors below.
  virtual std::int64_t width() const { return config().width; }

  /// [items, width] fp32.
  virtual at::Tensor item_vectors() const = 0;
  /// [rows, width] fp32: the user's vector just before each of these interactions. Never looks at the row itself or later ones.
  /// The same bits whichever rows are asked for together and on however many threads.
  virtual at::Tensor user_vectors(const Dataset& dataset, std::span<const std::int64_t> rows) const = 0;
  /// [users, width] fp32: from all that is known of each user before their first test interaction. A user of whom nothing is
  /// known gets the model's vector for an empty history.
  virtual at::Tensor group_vectors(const Dataset& dataset) const = 0;
  /// The logit of each row: the dot product of its user's vector before it and its item's vector.
  std::vector<double> scores(const Dataset& dataset, std::span<const std::int64_t> rows) const;
  /// Everything that restore_encoder needs, fp32; names begin with the kind.
  virtual std::vector<std::pair<std::string, at::Tensor>> parameters() const = 0;
};

struct EncoderProgress {
  std::int64_t epoch = 0;  ///< from 1
  double train_loss = 0;   ///< mean binary cross-entropy over the epoch's train rows, dropout on
  double valid_score = 0;
  bool best = false;        ///< the best valid score so far
  bool warm_start = false;  ///< of the factorisation that sasrec begins with
};

/// Judges the scores of the valid rows (in the order of dataset.rows(Split::kValid)); higher is better. Called on rank 0.
using ValidScore = std::function<double(std::span<const double> scores)>;
using EncoderReport = std::function<void(const EncoderProgress&)>;

/// Trains on the train rows, data parallel over `group`, and returns the epoch with the best valid score. The result depends on
/// config and data, and on the number of ranks only through the rounding of sums. `report` (may be empty) is called on every
/// rank after each epoch. kConfig for a bad config, kBadData for an empty train or valid split, kDiverged for a loss that is not
/// finite.
std::unique_ptr<Encoder> train_encoder(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                       const ValidScore& valid_score, const EncoderReport& report = {});

/// The same by this rank alone and on one thread: the same bits whatever the number of ranks and of their threads, by which
/// libtorch cuts the sums of some gradients.
std::unique_ptr<Encoder> train_encoder_alone(const EncoderConfig& config, const Dataset& dataset, const ValidScore& valid_score,
                                             const EncoderReport& report = {});

/// The inverse of parameters(): kBadData when a tensor is missing, unknown or of another shape than config and dataset ask for.
std::unique_ptr<Encoder> restore_encoder(const EncoderConfig& config, const Dataset& dataset,
                                         const std::vector<std::pair<std::string, at::Tensor>>& parameters);

}  // namespace thinkrec
