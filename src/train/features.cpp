#include "train/features.h"

#include <ATen/ATen.h>

#include <map>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kScaleRows = 512;  // rows from which the users' scale is measured

double inverse_rms(const at::Tensor& vectors) {
  const double mean_square = vectors.numel() > 0 ? vectors.to(at::kDouble).square().mean().item<double>() : 0.0;
  return mean_square > 0 ? 1 / std::sqrt(mean_square) : 1.0;
}

}  // namespace

FeatureBank::FeatureBank(const Encoder& encoder, const Dataset& dataset)
    : encoder_(encoder), dataset_(dataset), width_(encoder.width()) {
  const at::NoGradGuard no_grad;
  const at::Tensor items = encoder.item_vectors();
  items_ = (items * inverse_rms(items)).contiguous();
  const auto& train = dataset.rows(Split::kTrain);
  std::vector<std::int64_t> rows;
  const std::int64_t stride = std::max<std::int64_t>(1, static_cast<std::int64_t>(train.size()) / kScaleRows);
  for (std::size_t i = 0; i < train.size(); i += static_cast<std::size_t>(stride)) rows.push_back(train[i]);
  user_scale_ = inverse_rms(encoder.user_vectors(dataset, rows));
}

at::Tensor FeatureBank::gather(std::span<const FeatureRef> slots) const {
  const at::NoGradGuard no_grad;
  at::Tensor out = at::empty({static_cast<std::int64_t>(slots.size()), width_}, at::kFloat);
  std::vector<std::int64_t> user_slot, user_row;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].kind == FeatureRef::Kind::kItem) {
      out[static_cast<std::int64_t>(s)].copy_(items_[slots[s].index]);
    } else {
      user_slot.push_back(static_cast<std::int64_t>(s));
      user_row.push_back(slots[s].index);
    }
  }
  if (!user_row.empty()) out.index_copy_(0, at::tensor(user_slot), encoder_.user_vectors(dataset_, user_row) * user_scale_);
  return out;
}

at::Tensor FeatureBank::project(const Projector& projector, std::span<const FeatureRef> slots) const {
  if (slots.empty()) return {};
  THINKREC_CHECK(projector.defined(), "feature slots without a projector");
  std::map<std::pair<int, std::int64_t>, std::int64_t> place;
  std::vector<FeatureRef> unique;
  std::vector<std::int64_t> index;
  for (const FeatureRef& slot : slots) {
    const auto [found, fresh] =
        place.emplace(std::pair{static_cast<int>(slot.kind), slot.index}, static_cast<std::int64_t>(unique.size()));
    if (fresh) unique.push_back(slot);
    index.push_back(found->second);
  }
  return projector.apply(gather(unique).to(projector.device())).index_select(0, at::tensor(index).to(projector.device()));
}

}  // namespace thinkrec
