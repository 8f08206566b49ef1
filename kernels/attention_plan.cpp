#include "kernels/attention_plan.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

void check(const Attention& a) {
  THINKREC_CHECK(!a.begin.empty() && a.begin.front() == 0 && a.reach.size() + 1 == a.begin.size(),
                 "{} beginnings and {} reaches of rows", a.begin.size(), a.reach.size());
  THINKREC_CHECK(std::is_sorted(a.begin.begin(), a.begin.end()), "rows that do not ascend");
  THINKREC_CHECK(a.kv_heads >= 1 && a.heads >= 1 && a.heads % a.kv_heads == 0 && a.heads / a.kv_heads <= kMostSharedHeads,
                 "{} query heads for {} key/value heads; at most {} may share one", a.heads, a.kv_heads, kMostSharedHeads);
  THINKREC_CHECK(a.width >= 1, "heads of width {}", a.width);
  const std::int64_t tokens = a.begin.back();
  if (a.query.empty()) {
    THINKREC_CHECK(a.queries == 0 || a.queries == tokens, "{} queries for {} tokens", a.queries, tokens);
    return;
  }
  THINKREC_CHECK(a.queries == static_cast<std::int64_t>(a.query.size()), "{} queries for {} tokens asking", a.queries,
                 a.query.size());
  THINKREC_CHECK(std::is_sorted(a.query.begin(), a.query.end()) && a.query.front() >= 0 && a.query.back() < tokens,
                 "queries that do not ascend within {} tokens", tokens);
}

}  // namespace

AttentionPlan plan_attention(const Attention& a, std::int64_t lines, std::int64_t piece, std::int64_t strip) {
  check(a);
  const std::int64_t group = a.heads / a.kv_heads;
  AttentionPlan plan{group, std::max<std::int64_t>(1, lines / group), a.begin.back(), 0, 0, 0, {}, {}};
  const auto token_of = [&](std::int64_t query) { return a.query.empty() ? query : a.query[static_cast<std::size_t>(query)]; };
  std::vector<std::size_t> above;  // the rows that the current one follows
  std::int64_t next = 0;           // query
  for (std::size_t row = 0; row < a.reach.size(); ++row) {
    const std::int64_t first = a.begin[row], end = a.begin[row + 1];
    plan.first_strip.push_back(plan.strips);
    plan.strips += simd::whole(end - first, strip);
    while (!above.empty() && a.reach[above.back()] <= first) above.pop_back();
    THINKREC_CHECK(a.reach[row] >= end && a.reach[row] <= (above.empty() ? plan.tokens : a.reach[above.back()]),
                   "row {} of tokens {} to {} reaches {}", row, first, end, a.reach[row]);
    if (above.empty()) plan.trees.push_back({first, 0, {}});
    plan.trees.back().count = end - plan.trees.back().token;
    plan.most_tokens = std::max(plan.most_tokens, plan.trees.back().count);
    while (next < a.queries && token_of(next) < end) {
      AttentionBlock block{next, 0, {}, 0, {}};
      const auto add_keys = [&](std::size_t of, std::int64_t count) {
        for (std::int64_t key = 0; key < count; key += piece) {
          block.pieces.push_back(
              {a.begin[of] + key, std::min(piece, count - key), plan.first_strip[of] + key / strip, block.keys + key});
        }
        block.keys += count;
      };
      for (const std::size_t before : above) add_keys(before, a.begin[before + 1] - a.begin[before]);
      std::int64_t own = 0;
      for (; next < a.queries && token_of(next) < end && block.queries < plan.query_block; ++next, ++block.queries) {
        own = token_of(next) - first + 1;
        block.seen.push_back(block.keys + own);
      }
      add_keys(row, own);
      plan.most_keys = std::max(plan.most_keys, block.keys);
      plan.trees.back().blocks.push_back(std::move(block));
    }
    if (a.reach[row] > end) above.push_back(row);
  }
  return plan;
}

}  // namespace thinkrec::kernels
