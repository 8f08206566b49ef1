#include "train/features.h"

#include <ATen/ATen.h>

#include <map>
#include <tuple>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kScaleRows = 512;  // rows from which the users' scale is measured

double inverse_rms(const at::Tensor& vectors) {
  const double mean_square = vectors.numel() > 0 ? vectors.to(at::kDouble).square().mean().item<double>() : 0.0;
  return mean_square > 0 ? 1 / std::sqrt(mean_square) : 1.0;
}

}  // namespace

FeatureBank::FeatureBank(const Encoder& encoder, const Dataset& dataset, const HeldOutScores* held_out)
    : encoder_(encoder), dataset_(dataset), width_(encoder.width()) {
  const at::NoGradGuard no_grad;
  raw_items_ = encoder.item_vectors();
  items_ = (raw_items_ * inverse_rms(raw_items_)).contiguous();
  const auto& train = dataset.rows(Split::kTrain);
  std::vector<std::int64_t> rows;
  const std::int64_t stride = std::max<std::int64_t>(1, static_cast<std::int64_t>(train.size()) / kScaleRows);
  for (std::size_t i = 0; i < train.size(); i += static_cast<std::size_t>(stride)) rows.push_back(train[i]);
  user_scale_ = inverse_rms(encoder.user_vectors(dataset, rows));
  if (held_out == nullptr) return;

  THINKREC_CHECK(held_out->size() == train.size(), "{} held-out scores for {} train rows", held_out->size(), train.size());
  statistics_.emplace(dataset);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < train.size(); ++i) {
    const float score = (*held_out)[i];
    held_out_.emplace(train[i], score);
    sum += score;
    squares += static_cast<double>(score) * score;
  }
  const auto count = static_cast<double>(train.size());
  logit_mean_ = sum / count;
  logit_deviation_ = std::sqrt(std::max(1e-12, squares / count - logit_mean_ * logit_mean_));
}

void FeatureBank::add_statistics(const FeatureRef& slot, float logit, float* to) const {
  using Kind = FeatureRef::Kind;
  std::fill_n(to, kStatistics, 0.0F);
  const std::int64_t before = slot.kind == Kind::kItem ? 0 : slot.index;
  const auto user = static_cast<std::int64_t>(dataset_.user[static_cast<std::size_t>(before)]);
  const std::int64_t item = slot.kind == Kind::kItem     ? slot.index
                            : slot.kind == Kind::kTarget ? slot.item
                                                         : dataset_.item[static_cast<std::size_t>(before)];
  // A train row must not see its own label in its item's rate. It still does in a slot of the history where the user met the item before and
  // the data keep both (thinkrec_prepare --duplicates keep).
  const bool own = slot.kind == Kind::kTarget && item == dataset_.item[static_cast<std::size_t>(before)];
  const auto values = statistics_->standard(own ? statistics_->of_row(before)
                                                : statistics_->of_candidate(user, before, static_cast<std::int32_t>(item)));
  for (std::size_t i = 0; i < RowStatistics::kCount; ++i) {
    const bool of_item = i == 0 || i + 1 == RowStatistics::kCount;
    if (slot.kind == Kind::kTarget || of_item == (slot.kind == Kind::kItem)) to[i] = static_cast<float>(values[i]);
  }
  if (slot.kind == Kind::kTarget) to[RowStatistics::kCount] = static_cast<float>((logit - logit_mean_) / logit_deviation_);
}

at::Tensor FeatureBank::gather(std::span<const FeatureRef> slots) const {
  using Kind = FeatureRef::Kind;
  const at::NoGradGuard no_grad;
  const auto count = static_cast<std::int64_t>(slots.size());
  const at::Tensor out = at::zeros({count, width()}, at::kFloat);
  std::vector<std::int64_t> user_row;  // of the slots that need a user's vector
  std::vector<std::int64_t> place(slots.size(), -1);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    THINKREC_CHECK(slots[s].kind != Kind::kSoft, "slot {}: a learnt token has no vector here", s);
    const bool logit = slots[s].kind == Kind::kTarget && statistics_;
    if (slots[s].kind != Kind::kUser && !logit) continue;
    place[s] = static_cast<std::int64_t>(user_row.size());
    user_row.push_back(slots[s].index);
  }
  const at::Tensor users = user_row.empty() ? at::Tensor() : encoder_.user_vectors(dataset_, user_row);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const at::Tensor row = out[static_cast<std::int64_t>(s)], vector = row.narrow(0, 0, width_);
    const std::int64_t item = slots[s].kind == Kind::kItem ? slots[s].index : slots[s].item;
    if (slots[s].kind == Kind::kUser) {
      vector.copy_(users[place[s]] * user_scale_);
    } else {
      vector.copy_(items_[item]);
    }
    if (!statistics_) continue;
    float logit = 0;
    if (slots[s].kind == Kind::kTarget) {
      const bool own = item == dataset_.item[static_cast<std::size_t>(slots[s].index)];
      const auto held = own ? held_out_.find(slots[s].index) : held_out_.end();
      logit = held != held_out_.end() ? held->second : at::dot(users[place[s]], raw_items_[item]).item<float>();
    }
    add_statistics(slots[s], logit, row.mutable_data_ptr<float>() + width_);
  }
  return out;
}

at::Tensor FeatureBank::project(const Projector& projector, std::span<const FeatureRef> slots) const {
  if (slots.empty()) return {};
  std::map<std::tuple<int, std::int64_t, std::int64_t>, std::int64_t> place;
  std::vector<FeatureRef> unique;
  std::vector<std::int64_t> index;
  for (const FeatureRef& slot : slots) {
    if (slot.kind == FeatureRef::Kind::kSoft) continue;
    if (place.emplace(std::tuple{static_cast<int>(slot.kind), slot.index, slot.item}, static_cast<std::int64_t>(unique.size()))
            .second)
      unique.push_back(slot);
  }
  const auto features = static_cast<std::int64_t>(unique.size());
  for (const FeatureRef& slot : slots) {  // learnt tokens stand behind the projected vectors
    index.push_back(slot.kind == FeatureRef::Kind::kSoft ? features + slot.index
                                                         : place.at({static_cast<int>(slot.kind), slot.index, slot.item}));
  }
  std::vector<at::Tensor> vectors;
  if (features > 0) {
    THINKREC_CHECK(projector.defined(), "feature slots without a projector");
    vectors.push_back(projector.apply(gather(unique).to(projector.device())));
  }
  if (projector.soft().defined()) vectors.push_back(projector.soft());
  THINKREC_CHECK(!vectors.empty(), "learnt tokens that no projector holds");
  const at::Tensor all = at::cat(vectors);
  return all.index_select(0, at::tensor(index).to(all.device()));
}

}  // namespace thinkrec
