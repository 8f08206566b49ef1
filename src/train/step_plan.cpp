#include "train/step_plan.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <unordered_set>

#include "core/error.h"
#include "data/sampler.h"
#include "train/units.h"

namespace thinkrec {
namespace {

/// Hidden states below the trained layers that a rank keeps (StepEngine::cached_hidden).
struct HiddenCache {
  std::unordered_set<std::uint64_t> keys;
  std::int64_t bytes = 0;
};

struct DrawnRow {
  PassShape shape;
  std::uint64_t key;  // as the cache has it
};

/// The pass of the rows of a unit. Of n rows that begin alike, what they begin with is computed, and attended to, once.
PassShape shape_of(const Unit& unit, std::span<const DrawnRow> rows) {
  PassShape shape;
  for (const std::int64_t place : unit.places) shape += rows[static_cast<std::size_t>(place)].shape;
  if (unit.places.size() == 1) return shape;
  const auto again = static_cast<double>(unit.places.size() - 1),
             common = static_cast<double>(shape.tokens - unit.tokens) / again;
  return {unit.tokens, std::min(shape.read, unit.tokens), shape.squares - again * common * common};
}

std::vector<Sampler> samplers_of(const Recipe& recipe, std::span<const PlannedLane> lanes, const TeamSetting& setting,
                                 std::span<const std::int32_t> user_of_row) {
  std::vector<Sampler> samplers;
  for (const PlannedLane& lane : lanes) {
    std::vector<std::int32_t> users;
    for (const std::int64_t row : lane.rows.train) users.push_back(user_of_row[static_cast<std::size_t>(row)]);
    samplers.emplace_back(users, setting.rows_per_user, static_cast<std::int64_t>(lane.rows.reasons.size()), setting.reason_share,
                          lane.config.batch, sampler_seed(recipe, lane.config));
  }
  return samplers;
}

}  // namespace

PassShape RowLengths::shape(std::int64_t tokens, std::int64_t answer) const {
  const std::int64_t fed = tokens - 1;  // the last token predicts nothing
  return {fed, span_ == CeSpan::kAnswer ? answer : fed, static_cast<double>(fed) * static_cast<double>(fed)};
}

PassShape RowLengths::recommendation(std::int64_t row) {
  const auto [found, fresh] = known_.try_emplace(row);
  if (fresh) found->second = shape(prompts_.recommendation_tokens(row), 1);
  return found->second;
}

EncodedRow RowLengths::made(std::int64_t row, const Reason* reason) const {
  return reason != nullptr ? prompts_.reason(*reason) : prompts_.recommendation(row);
}

PassShape RowLengths::reason(const Reason& reason) {
  const auto [found, fresh] = known_reasons_.try_emplace(reason.row);
  if (fresh) {
    const EncodedRow row = prompts_.reason(reason);
    found->second = shape(static_cast<std::int64_t>(row.token.size()), row.answer_length());
  }
  return found->second;
}

TeamPlan plan_team(const Recipe& recipe, const LlamaConfig& model, const PassKind& kind, std::span<const PlannedLane> lanes,
                   const TeamSetting& setting, std::span<const std::int32_t> user_of_row, RowLengths& lengths) {
  THINKREC_CHECK(!lanes.empty() && setting.ranks >= 1, "{} lanes on {} ranks", lanes.size(), setting.ranks);
  const std::vector<Sampler> samplers = samplers_of(recipe, lanes, setting, user_of_row);
  const std::int64_t rows_of_step = lanes[0].config.batch * static_cast<std::int64_t>(lanes.size());
  TeamPlan plan;
  plan.steps = lanes[0].config.steps;
  plan.planned = std::min(plan.steps, std::max<std::int64_t>(1, setting.most_draws / rows_of_step));
  std::vector<HiddenCache> caches(static_cast<std::size_t>(setting.ranks));
  double balance = 0;
  for (std::int64_t step = 0; step < plan.planned; ++step) {
    std::vector<DrawnRow> rows;
    std::deque<EncodedRow> made;  // of those that may share
    std::vector<RowToPack> to_pack;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      for (const Draw& draw : samplers[lane].step(step)) {
        const auto index = static_cast<std::size_t>(draw.index);
        const PhaseRows& from = lanes[lane].rows;
        const Reason* reason = draw.reason ? from.reasons[index] : nullptr;
        const std::int64_t row = reason != nullptr ? reason->row : from.train[index];
        rows.push_back({reason != nullptr ? lengths.reason(*reason) : lengths.recommendation(row),
                        static_cast<std::uint64_t>(row) * 2 + (draw.reason ? 1 : 0)});
        to_pack.push_back({nullptr, rows.back().shape.tokens, 0, -1});
        if (!setting.share) continue;
        to_pack.back().row = &made.emplace_back(lengths.made(row, reason));
        to_pack.back().group =
            static_cast<std::int64_t>(user_of_row[static_cast<std::size_t>(row)]) * static_cast<std::int64_t>(lanes.size()) +
            static_cast<std::int64_t>(lane);
      }
    }
    const auto shares = share_units(make_units(to_pack, setting.micro_tokens), to_pack, setting.ranks);
    double most_flops = 0;
    std::int64_t most_tokens = 0, most_passes = 0, sum = 0;
    int idle = 0;
    for (int rank = 0; rank < setting.ranks; ++rank) {
      const std::vector<Unit>& own = shares[static_cast<std::size_t>(rank)];
      std::vector<std::int64_t> own_tokens;
      for (const Unit& unit : own) own_tokens.push_back(unit.tokens);
      idle += own.empty() ? 1 : 0;
      double flops = 0;
      HiddenCache& cache = caches[static_cast<std::size_t>(rank)];
      for (const std::int64_t place : places_of(own)) {
        const DrawnRow& row = rows[static_cast<std::size_t>(place)];
        if (kind.first_layer == 0 || cache.keys.contains(row.key)) continue;
        PassShape alone = row.shape;
        alone.read = alone.tokens;
        flops += forward_flops(model, alone, 0, kind.first_layer, kind.lora_rank);
        const std::int64_t bytes = alone.tokens * model.width * kind.value_bytes;
        if (cache.bytes + bytes > lanes[0].config.cache_mb << 20) continue;
        cache.keys.insert(row.key);
        cache.bytes += bytes;
      }
      const auto passes = micro_batches(own_tokens, setting.strict ? 1 : setting.micro_tokens);
      for (const auto& [first, last] : passes) {
        PassShape pass;
        for (std::size_t i = first; i < last; ++i) pass += shape_of(own[i], rows);
        flops += training_flops(model, pass, kind);
        const PassBytes bytes = pass_bytes(model, pass, kind);
        if (bytes.peak <= plan.largest_bytes.peak) continue;
        plan.largest = pass;
        plan.largest_bytes = bytes;
      }
      const std::int64_t held = std::accumulate(own_tokens.begin(), own_tokens.end(), std::int64_t{0});
      sum += held;
      most_tokens = std::max(most_tokens, held);
      most_passes = std::max(most_passes, static_cast<std::int64_t>(passes.size()));
      most_flops = std::max(most_flops, flops);
      plan.flops += flops;
    }
    plan.critical_flops += most_flops;
    plan.step_tokens += static_cast<double>(sum);
    plan.passes += static_cast<double>(most_passes);
    plan.most_passes = std::max(plan.most_passes, most_passes);
    plan.most_idle = std::max(plan.most_idle, idle);
    for (const DrawnRow& row : rows) plan.longest_row = std::max(plan.longest_row, row.shape.tokens);
    balance += static_cast<double>(sum) / (static_cast<double>(most_tokens) * setting.ranks);
  }
  for (const HiddenCache& cache : caches) plan.cached_bytes = std::max(plan.cached_bytes, cache.bytes);
  if (plan.planned == 0) return plan;
  const auto planned = static_cast<double>(plan.planned), scale = static_cast<double>(plan.steps) / planned;
  plan.tokens = plan.step_tokens * scale;
  plan.flops *= scale;
  plan.critical_flops *= scale;
  plan.step_tokens /= planned;
  plan.passes /= planned;
  plan.balance = balance / planned;
  return plan;
}

}  // namespace thinkrec
