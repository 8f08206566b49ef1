#include "train/step.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <map>

#include "core/error.h"
#include "model/ops.h"
#include "train/tensor_collectives.h"

namespace thinkrec {

std::vector<std::pair<std::size_t, std::size_t>> micro_batches(std::span<const std::int64_t> tokens, std::int64_t limit) {
  std::vector<std::pair<std::size_t, std::size_t>> runs;
  std::size_t first = 0;
  std::int64_t held = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > first && held + tokens[i] > limit) {
      runs.emplace_back(first, i);
      first = i;
      held = 0;
    }
    held += tokens[i];
  }
  if (first < tokens.size()) runs.emplace_back(first, tokens.size());
  return runs;
}

StepEngine::StepEngine(const Llama& model, std::vector<StepLane> lanes, const Projector& projector, const FeatureBank* features,
                       StepConfig config, Collectives& ranks)
    : model_(model), lanes_(std::move(lanes)), projector_(projector), features_(features), config_(config), ranks_(ranks) {
  THINKREC_CHECK(config_.first_layer == 0 || !config_.train_inputs, "what feeds layer 0 cannot train where that layer is frozen");
  THINKREC_CHECK(lanes_.size() == 1 || !config_.train_inputs, "{} adapters would train one input", lanes_.size());
}

std::vector<StepResult> StepEngine::run(std::int64_t step, std::span<const LaneRows> parts, bool stop, StepFault fault) {
  // Share: which rows are this rank's, by tokens.
  std::vector<PlacedRow> rows;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    for (const StepRow& row : parts[part].rows) {
      rows.push_back({{row.row, row.draw, 1.0 / static_cast<double>(parts[part].rows.size()), row.group}, part});
    }
  }
  const std::vector<std::vector<Unit>> shares = share(rows);
  const std::vector<Unit>& own_units = shares[static_cast<std::size_t>(ranks_.rank())];
  const std::vector<std::int64_t> mine = places_of(own_units);
  std::vector<std::int64_t> my_tokens;
  for (const Unit& unit : own_units) my_tokens.push_back(unit.tokens);
  const auto parameters = [&](std::size_t part) -> ParameterSet& { return *lanes_[parts[part].lane].parameters; };

  // Forward and backward.
  if (fault.place == StepFault::Place::kWeight) parameters(0).parameters()[0].second.detach().view(-1)[0].fill_(fault.value);
  std::vector<RowValue> values;
  std::vector<at::Tensor> row_gradients;  // strict: one flat gradient a row, of its lane
  for (std::size_t part = 0; part < parts.size(); ++part) parameters(part).zero_gradient();
  for (const auto& [first, last] : micro_batches(my_tokens, config_.strict ? 1 : config_.micro_tokens)) {
    const std::vector<std::int64_t> places = places_of(std::span(own_units).subspan(first, last - first));
    accumulate(step, parts, rows, places, fault, values);
    if (config_.strict) {
      ParameterSet& own = parameters(rows[static_cast<std::size_t>(places[0])].part);
      row_gradients.push_back(own.gradient().clone());
      own.zero_gradient();
    }
  }

  if (fault.place == StepFault::Place::kLoss) {
    for (RowValue& value : values) value.bce = fault.value;
  } else if (fault.place == StepFault::Place::kGradient) {
    if (config_.strict && !row_gradients.empty()) row_gradients[0][0].fill_(fault.value);
    if (!config_.strict) parameters(0).gradient()[0].fill_(fault.value);
  } else if (fault.place == StepFault::Place::kCollective) {
    ranks_.barrier();
  }

  // Reduce: gradients and what every rank must agree on.
  std::vector<RowValue> ordered(rows.size());
  std::int64_t wish = stop ? 1 : 0;
  {
    RECORD_USER_SCOPE("step: reduce");
    if (config_.strict) {
      sum_in_row_order(row_gradients, mine, rows, parts);
    } else {
      for (std::size_t part = 0; part < parts.size(); ++part) all_reduce_sum(ranks_, parameters(part).gradient());
    }
    for (const RowValue& value : all_gather_values<RowValue>(ranks_, values))
      ordered[static_cast<std::size_t>(value.place)] = value;
    ranks_.all_reduce_max(std::span(&wish, 1));
  }

  std::vector<StepResult> results(parts.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {  // summed in row order: the same for any number of ranks
    StepResult& result = results[rows[i].part];
    const bool reason = rows[i].row.row->reason;
    const LossWeights& w = config_.weights;
    result.row_losses.push_back((reason ? w.alpha : w.eta) * ordered[i].bce + (reason ? w.beta : w.gamma) * ordered[i].ce);
    result.loss += result.row_losses.back() * rows[i].row.scale;
    result.bce += ordered[i].bce * rows[i].row.scale;
    result.ce += ordered[i].ce * rows[i].row.scale;
    result.tokens += static_cast<std::int64_t>(rows[i].row.row->token.size()) - 1;
  }
  for (const std::vector<Unit>& part : shares) {
    for (const Unit& unit : part) results[rows[static_cast<std::size_t>(unit.places[0])].part].computed += unit.tokens;
  }

  // Clip and update; a lane whose step is not finite, or leaps, is not changed.
  RECORD_USER_SCOPE("step: update");
  for (std::size_t part = 0; part < parts.size(); ++part) {
    StepResult& result = results[part];
    const kernels::GradientNorm norm = parameters(part).norm();
    result.stop = wish != 0;
    result.gradient_norm = norm.norm;
    result.finite = norm.finite && std::isfinite(result.loss);
    result.leapt = result.finite && result.loss > parts[part].loss_limit;
    if (result.finite && !result.leapt) parameters(part).update(parts[part].learning_rate, step, norm.norm, config_.clip);
  }
  return results;
}

std::vector<std::vector<Unit>> StepEngine::share(std::span<PlacedRow> rows) const {
  const bool together = config_.share && !config_.strict && model_.device().is_cpu();
  std::vector<RowToPack> to_pack;
  std::map<std::pair<std::size_t, std::int64_t>, std::int64_t> groups;  // of a lane's user
  for (const PlacedRow& placed : rows) {
    const StepRow& row = placed.row;
    const std::int64_t length = static_cast<std::int64_t>(row.row->token.size()) - 1;
    std::int64_t group = -1;
    if (together && row.group >= 0) {
      group = groups.try_emplace({placed.part, row.group}, static_cast<std::int64_t>(groups.size())).first->second;
    }
    to_pack.push_back({row.row, length, row.draw, group});
  }
  std::vector<Unit> units = make_units(to_pack, config_.micro_tokens);
  // A unit's rows are dropped alike, so that its split changes no value.
  for (const Unit& unit : units) {
    for (const std::int64_t place : unit.places) {
      rows[static_cast<std::size_t>(place)].row.draw = rows[static_cast<std::size_t>(unit.places[0])].row.draw;
    }
  }
  std::vector<std::vector<Unit>> shares = share_units(std::move(units), to_pack, ranks_.size());
  for (const std::vector<Unit>& part : shares) {
    for (const Unit& unit : part) {
      for (const std::int64_t place : unit.places) rows[static_cast<std::size_t>(place)].row.group = together ? unit.places[0] : -1;
    }
  }
  return shares;
}

void StepEngine::accumulate(std::int64_t step, std::span<const LaneRows> parts, std::span<const PlacedRow> rows,
                            std::span<const std::int64_t> places, StepFault fault, std::vector<RowValue>& values) {
  std::vector<StepRow> own;
  for (const std::int64_t place : places) own.push_back(rows[static_cast<std::size_t>(place)].row);
  const LossBatch batch = make_loss_batch(own, config_.weights, config_.span);
  const auto there = [this](const at::Tensor& tensor) { return tensor.to(model_.device()); };

  // One adapter for the batch, or each row its own.
  std::optional<LoraHook> one;
  std::optional<MixtureHook> several;
  if (parts.size() == 1) {
    one.emplace(*lanes_[parts[0].lane].adapter, config_.dropout, config_.first_layer, config_.seed, step);
  } else {
    std::vector<const LoraAdapter*> adapters;
    for (const LaneRows& part : parts) adapters.push_back(lanes_[part.lane].adapter);
    const PackedBatch& packed = batch.pack.packed;
    const at::Tensor weight = at::zeros({packed.tokens(), static_cast<std::int64_t>(parts.size())}, at::kFloat);
    for (std::size_t s = 0; s < batch.pack.segments.size(); ++s) {
      const auto part = static_cast<std::int64_t>(rows[static_cast<std::size_t>(places[batch.pack.segments[s].row])].part);
      weight.narrow(0, packed.begin[s], packed.length(static_cast<std::int64_t>(s))).select(1, part).fill_(1);
    }
    several.emplace(std::move(adapters), there(weight), config_.dropout, config_.seed, step);
  }
  const ProjectionHook& hook = one ? static_cast<const ProjectionHook&>(*one) : *several;

  const auto [bce, ce] = [&] {
    RECORD_USER_SCOPE("step: forward");
    at::Tensor lower = lower_hidden(own, batch.pack);
    if (fault.place == StepFault::Place::kInput) lower = lower + fault.value;
    const at::Tensor hidden = model_.layers(lower, batch.pack.packed, config_.first_layer, model_.config().layers, &hook,
                                            there(batch.needed), config_.recompute);
    const at::Tensor normed = model_.final_norm(hidden);
    const at::Tensor& head = model_.weights().head;
    const auto yes = ops::yes_bce(normed.index_select(0, there(batch.yes_index)), head[config_.yes_token].contiguous(),
                                  there(batch.label), there(batch.bce_weight));
    return std::pair(yes, ops::linear_cross_entropy(normed, head, there(batch.target), there(batch.ce_weight)));
  }();
  {
    RECORD_USER_SCOPE("step: backward");
    (bce.total + ce.total).backward();
  }

  const at::Tensor bce_rows = bce.rows.to(at::kCPU), ce_rows = ce.rows.to(at::kCPU, at::kDouble);
  for (std::size_t r = 0; r < own.size(); ++r) {
    const std::int64_t first = batch.ce_begin[r], count = batch.ce_begin[r + 1] - first;
    const at::Tensor counted = (batch.ce_weight.narrow(0, first, count) != 0).to(at::kDouble);
    const at::Tensor losses = ce_rows.narrow(0, first, count);
    const double words = counted.sum().item<double>();
    values.push_back({places[r], bce_rows[static_cast<std::int64_t>(r)].item<double>(),
                      words > 0 ? (losses * counted).sum().item<double>() / words : losses.mean().item<double>()});
  }
}

at::Tensor StepEngine::lower_hidden(std::span<const StepRow> rows, const RowPack& pack) {
  if (config_.first_layer == 0) {
    const at::AutoGradMode grad(true);
    const at::Tensor features = pack.slots.empty() ? at::Tensor() : features_->project(projector_, pack.slots);
    return model_.embed(pack.packed, features);
  }
  std::vector<at::Tensor> parts;
  for (std::size_t s = 0; s < pack.segments.size(); ++s) {
    const auto [row, first] = pack.segments[s];
    parts.push_back(cached_hidden(rows[row]).narrow(0, first, pack.packed.length(static_cast<std::int64_t>(s))));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
}

at::Tensor StepEngine::cached_hidden(const StepRow& row) {
  // A row's state is always computed alone, so that its bits do not depend on when it was computed or beside whom.
  const std::uint64_t key = static_cast<std::uint64_t>(row.row->row) * 2 + (row.row->reason ? 1 : 0);
  if (const auto found = cache_.find(key); found != cache_.end()) return found->second;
  const at::NoGradGuard no_grad;
  const RowPack alone = pack_row(*row.row, static_cast<std::int64_t>(row.row->token.size()) - 1);
  const at::Tensor features = alone.slots.empty() ? at::Tensor() : features_->project(projector_, alone.slots);
  const LoraHook frozen(*lanes_[0].adapter);  // below first_layer all lanes agree
  const at::Tensor hidden = model_.layers(model_.embed(alone.packed, features), alone.packed, 0, config_.first_layer, &frozen);
  const auto bytes = static_cast<std::int64_t>(hidden.nbytes());
  if (cached_bytes_ + bytes <= config_.cache_bytes) {
    cache_.emplace(key, hidden);
    cached_bytes_ += bytes;
  }
  return hidden;
}

void StepEngine::sum_in_row_order(std::vector<at::Tensor>& own, std::span<const std::int64_t> places,
                                  std::span<const PlacedRow> rows, std::span<const LaneRows> parts) {
  // One row at a time crosses the ranks: its owner broadcasts, everyone adds in row order.
  std::vector<std::int64_t> where(rows.size(), -1), root(rows.size(), 0);
  for (std::size_t i = 0; i < places.size(); ++i) {
    where[static_cast<std::size_t>(places[i])] = static_cast<std::int64_t>(i);
    root[static_cast<std::size_t>(places[i])] = ranks_.rank();
  }
  ranks_.all_reduce_sum(std::span<std::int64_t>(root));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const at::Tensor& total = lanes_[parts[rows[row].part].lane].parameters->gradient();
    const at::Tensor value = where[row] >= 0 ? own[static_cast<std::size_t>(where[row])] : at::empty_like(total);
    broadcast(ranks_, value, static_cast<int>(root[row]));
    total.add_(value);
  }
}

}  // namespace thinkrec
