#include "encoders/encoder.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/error.h"
#include "encoders/factorization.h"
#include "encoders/sasrec.h"

namespace thinkrec {
namespace {

/// libtorch computes on one thread for as long as it lives.
class OneThread {
 public:
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = at::get_num_threads();
};

}  // namespace

std::vector<double> Encoder::scores(const Dataset& dataset, std::span<const std::int64_t> rows) const {
  const at::Tensor users = user_vectors(dataset, rows).contiguous(), items = item_vectors().contiguous();
  const std::int64_t width = users.size(1);
  std::vector<double> result(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* const user = users.const_data_ptr<float>() + i * width;
    const float* const item = items.const_data_ptr<float>() + dataset.item[rows[i]] * width;
    for (std::int64_t k = 0; k < width; ++k) result[i] += double{user[k]} * item[k];
  }
  return result;
}

std::unique_ptr<Encoder> train_encoder(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                       const ValidScore& valid_score, const EncoderReport& report) {
  check_encoder_config(config);
  for (Split split : {Split::kTrain, Split::kValid}) {
    if (dataset.rows(split).empty())
      fail(ExitCode::kBadData, "data set {}: no {} rows to fit an encoder with; prepare it with other split settings",
           dataset.name, kSplitNames[static_cast<std::size_t>(split)]);
  }
  const auto train = config.kind == "sasrec" ? train_sasrec : train_factorization;
  return train(config, dataset, group, valid_score, report);
}

std::unique_ptr<Encoder> train_encoder_alone(const EncoderConfig& config, const Dataset& dataset, const ValidScore& valid_score,
                                             const EncoderReport& report) {
  const OneThread one_thread;
  return train_encoder(config, dataset, *make_solo_collectives(), valid_score, report);
}

std::unique_ptr<Encoder> restore_encoder(const EncoderConfig& config, const Dataset& dataset,
                                         const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  check_encoder_config(config);
  const auto restore = config.kind == "sasrec" ? restore_sasrec : restore_factorization;
  return restore(config, dataset, parameters);
}

}  // namespace thinkrec
