#include "model/attention_cpu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/error.h"
#include "kernels/attention_softmax.h"

// BLAS as libtorch brings it: column-major C = alpha op(A) op(B) + beta C.
extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const float* alpha,
                       const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c,
                       const int* ldc);

namespace thinkrec {
namespace {

constexpr std::int64_t kBlockRows =
    128;  // of scores, over the query heads that share a key: enough for a GEMM, few enough for the cache

struct Range {
  std::int64_t begin, count;
};
/// Neighbouring queries of a row, which are answered together.
struct Block {
  Range queries;                   // into q
  std::vector<Range> keys;         // tokens: those of the rows before, then the own row up to the last query
  std::int64_t columns = 0;        // keys in all
  std::vector<std::int64_t> seen;  // [queries]
};
/// Rows that share tokens: gradients of keys are summed within a tree only.
using Tree = std::vector<Block>;

struct Plan {
  std::int64_t heads = 0, kv_heads = 0, group = 1, width = 0, query_block = 1, most_columns = 0;
  std::vector<Tree> trees;
};

Plan make_plan(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RowExtents& rows,
               std::span<const std::int64_t> query) {
  Plan plan;
  plan.heads = q.size(1);
  plan.kv_heads = k.size(1);
  plan.group = plan.heads / plan.kv_heads;
  plan.width = q.size(2);
  plan.query_block = std::max<std::int64_t>(1, kBlockRows / plan.group);
  THINKREC_CHECK(q.is_contiguous() && k.is_contiguous() && v.is_contiguous(), "attention of tensors that are not contiguous");
  if (q.size(0) == 0) return plan;
  THINKREC_CHECK((query.empty() ? k.size(0) : static_cast<std::int64_t>(query.size())) == q.size(0),
                 "{} queries for {} tokens asking", q.size(0), query.size());
  THINKREC_CHECK(std::is_sorted(query.begin(), query.end()), "queries that do not ascend");
  std::vector<Range> above;         // the rows that the current one follows
  std::vector<std::int64_t> until;  // where they end to be seen
  std::int64_t next = 0;            // query
  for (std::size_t row = 0; row + 1 < rows.begin.size(); ++row) {
    const std::int64_t first = rows.begin[row], end = rows.begin[row + 1];
    while (!above.empty() && until.back() <= first) {
      above.pop_back();
      until.pop_back();
    }
    if (above.empty()) plan.trees.emplace_back();
    std::int64_t before = 0;
    for (const Range& range : above) before += range.count;
    const auto token = [&](std::int64_t i) { return query.empty() ? i : query[static_cast<std::size_t>(i)]; };
    while (next < q.size(0) && token(next) < end) {
      Block block{{next, 0}, above, 0, {}};
      for (; next < q.size(0) && token(next) < end && block.queries.count < plan.query_block; ++next) {
        block.seen.push_back(before + token(next) - first + 1);
        ++block.queries.count;
      }
      block.columns = block.seen.back();
      block.keys.push_back({first, block.columns - before});
      plan.most_columns = std::max(plan.most_columns, block.columns);
      plan.trees.back().push_back(std::move(block));
    }
    if (rows.reach[row] > end) {
      above.push_back({first, end - first});
      until.push_back(rows.reach[row]);
    }
  }
  return plan;
}

struct Matrix {
  const float* data;
  std::int64_t stride;
  bool transposed = false;
};

/// Row-major c [m, n] = (add ? c : 0) + alpha a b, with a [m, k] and b [k, n], each given as it lies or transposed.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const Matrix& a, const Matrix& b, bool add, float* c,
          std::int64_t stride) {
  // Row-major is column-major of the transposed: c^T = b^T a^T.
  const int rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  const int lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride), ldc = static_cast<int>(stride);
  const float beta = add ? 1.0f : 0.0f;
  sgemm_(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &rows, &columns, &inner, &alpha, b.data, &lda, a.data, &ldb, &beta,
         c, &ldc);
}

/// A thread's buffers, as memory gives them.
struct Scratch {
  std::unique_ptr<float[]> queries, scores, grads, sums, lse, delta;
  std::unique_ptr<std::int64_t[]> seen;
  explicit Scratch(const Plan& plan, bool backward) {
    const auto rows = static_cast<std::size_t>(plan.query_block * plan.group);
    const auto wide = static_cast<std::size_t>(plan.width), columns = static_cast<std::size_t>(plan.most_columns);
    const auto floats = [](std::size_t count) { return std::make_unique_for_overwrite<float[]>(count); };
    queries = floats(rows * wide);
    sums = floats(rows * wide);
    scores = floats(rows * columns);
    lse = floats(rows);
    seen = std::make_unique_for_overwrite<std::int64_t[]>(rows);
    if (!backward) return;
    grads = floats(rows * columns);
    delta = floats(rows);
  }
};

/// Rows of a block: its queries for one query head after the other, of the heads that share key/value head `kv`.
template <class Body>
void each_row(const Plan& plan, const Block& block, std::int64_t kv, const Body& body) {
  std::int64_t row = 0;
  for (std::int64_t head = kv * plan.group; head < (kv + 1) * plan.group; ++head) {
    for (std::int64_t i = 0; i < block.queries.count; ++i) body(row++, block.queries.begin + i, head, i);
  }
}

void gather(const Plan& plan, const Block& block, std::int64_t kv, const float* from, float* to) {
  each_row(plan, block, kv, [&](std::int64_t row, std::int64_t query, std::int64_t head, std::int64_t) {
    std::copy_n(from + (query * plan.heads + head) * plan.width, plan.width, to + row * plan.width);
  });
}

/// Scores of a block: scale q k^T over its keys.
void score(const Plan& plan, const Block& block, std::int64_t kv, float scale, const float* queries, const float* keys,
           float* scores) {
  const std::int64_t rows = block.queries.count * plan.group, stride = plan.kv_heads * plan.width;
  std::int64_t column = 0;
  for (const Range& range : block.keys) {
    gemm(rows, range.count, plan.width, scale, {queries, plan.width},
         {keys + range.begin * stride + kv * plan.width, stride, true}, false, scores + column, block.columns);
    column += range.count;
  }
}

/// sums [rows, width] = weights [rows, columns] x over the block's keys.
void weigh(const Plan& plan, const Block& block, std::int64_t kv, float scale, const float* weights, const float* x,
           float* sums) {
  const std::int64_t rows = block.queries.count * plan.group, stride = plan.kv_heads * plan.width;
  std::int64_t column = 0;
  for (const Range& range : block.keys) {
    gemm(rows, plan.width, range.count, scale, {weights + column, block.columns},
         {x + range.begin * stride + kv * plan.width, stride}, column > 0, sums, plan.width);
    column += range.count;
  }
}

/// grad, over the block's keys, += scale weights^T y, y [rows, width].
void spread(const Plan& plan, const Block& block, std::int64_t kv, float scale, const float* weights, const float* y,
            float* grad) {
  const std::int64_t rows = block.queries.count * plan.group, stride = plan.kv_heads * plan.width;
  std::int64_t column = 0;
  for (const Range& range : block.keys) {
    gemm(range.count, plan.width, rows, scale, {weights + column, block.columns, true}, {y, plan.width}, true,
         grad + range.begin * stride + kv * plan.width, stride);
    column += range.count;
  }
}

kernels::AttentionRows softmax_rows(const Plan& plan, const Block& block, Scratch& scratch) {
  each_row(plan, block, 0, [&](std::int64_t row, std::int64_t, std::int64_t, std::int64_t i) {
    scratch.seen[static_cast<std::size_t>(row)] = block.seen[static_cast<std::size_t>(i)];
  });
  return {block.queries.count * plan.group, block.columns, block.columns, scratch.seen.get()};
}

/// body(task, scratch) for 0 .. tasks - 1, on all threads.
template <class Body>
void parallel(const Plan& plan, std::int64_t tasks, bool backward, const Body& body) {
  const int threads = static_cast<int>(std::min<std::int64_t>(at::get_num_threads(), tasks));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    Scratch scratch(plan, backward);
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) body(task, scratch);
  }
}

}  // namespace

CpuAttention attend_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RowExtents& rows,
                        std::span<const std::int64_t> query) {
  if (q.scalar_type() != at::kFloat) {
    CpuAttention wide = attend_cpu(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), rows, query);
    return {wide.out.to(q.scalar_type()), wide.log_sum_exp};
  }
  RECORD_USER_SCOPE("thinkrec::attention_forward");
  const Plan plan = make_plan(q, k, v, rows, query);
  CpuAttention result{at::empty_like(q), at::empty({plan.heads, q.size(0)}, q.options())};
  std::vector<const Block*> blocks;
  for (const Tree& tree : plan.trees) {
    for (const Block& block : tree) blocks.push_back(&block);
  }
  const float *queries = q.const_data_ptr<float>(), *keys = k.const_data_ptr<float>(), *values = v.const_data_ptr<float>();
  float *out = result.out.mutable_data_ptr<float>(), *lse = result.log_sum_exp.mutable_data_ptr<float>();
  const float scale = 1 / std::sqrt(static_cast<float>(plan.width));
  parallel(plan, static_cast<std::int64_t>(blocks.size()) * plan.kv_heads, false, [&](std::int64_t task, Scratch& scratch) {
    const Block& block = *blocks[static_cast<std::size_t>(task / plan.kv_heads)];
    const std::int64_t kv = task % plan.kv_heads;
    gather(plan, block, kv, queries, scratch.queries.get());
    score(plan, block, kv, scale, scratch.queries.get(), keys, scratch.scores.get());
    kernels::attention_softmax(softmax_rows(plan, block, scratch), scratch.scores.get(), scratch.lse.get());
    weigh(plan, block, kv, 1, scratch.scores.get(), values, scratch.sums.get());
    each_row(plan, block, kv, [&](std::int64_t row, std::int64_t i, std::int64_t head, std::int64_t) {
      std::copy_n(scratch.sums.get() + row * plan.width, plan.width, out + (i * plan.heads + head) * plan.width);
      lse[head * q.size(0) + i] = scratch.lse[static_cast<std::size_t>(row)];
    });
  });
  return result;
}

QkvGradients attend_cpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const CpuAttention& attended, const RowExtents& rows, std::span<const std::int64_t> query) {
  if (const auto type = q.scalar_type(); type != at::kFloat) {
    const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat); };
    const QkvGradients grad =
        attend_cpu_backward(wide(grad_out), wide(q), wide(k), wide(v), {wide(attended.out), attended.log_sum_exp}, rows, query);
    return {grad.q.to(type), grad.k.to(type), grad.v.to(type)};
  }
  RECORD_USER_SCOPE("thinkrec::attention_backward");
  const Plan plan = make_plan(q, k, v, rows, query);
  QkvGradients grad{at::empty_like(q), at::zeros_like(k), at::zeros_like(v)};
  const float *queries = q.const_data_ptr<float>(), *keys = k.const_data_ptr<float>(), *values = v.const_data_ptr<float>();
  const float *out = attended.out.const_data_ptr<float>(), *lse = attended.log_sum_exp.const_data_ptr<float>();
  const float* given = grad_out.const_data_ptr<float>();
  float *grad_q = grad.q.mutable_data_ptr<float>(), *grad_k = grad.k.mutable_data_ptr<float>(),
        *grad_v = grad.v.mutable_data_ptr<float>();
  const float scale = 1 / std::sqrt(static_cast<float>(plan.width));
  const at::Tensor deltas = at::empty({q.size(0), plan.heads}, q.options());
  auto* const delta = deltas.mutable_data_ptr<float>();
  at::parallel_for(0, q.size(0), 64, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * plan.heads;
    kernels::attention_delta((end - begin) * plan.heads, plan.width, out + first * plan.width, given + first * plan.width,
                             delta + first);
  });
  parallel(plan, static_cast<std::int64_t>(plan.trees.size()) * plan.kv_heads, true, [&](std::int64_t task, Scratch& scratch) {
    const std::int64_t kv = task % plan.kv_heads;
    for (const Block& block : plan.trees[static_cast<std::size_t>(task / plan.kv_heads)]) {
      each_row(plan, block, kv, [&](std::int64_t row, std::int64_t i, std::int64_t head, std::int64_t) {
        scratch.delta[static_cast<std::size_t>(row)] = delta[i * plan.heads + head];
        scratch.lse[static_cast<std::size_t>(row)] = lse[head * q.size(0) + i];
      });
      gather(plan, block, kv, queries, scratch.queries.get());
      gather(plan, block, kv, given, scratch.sums.get());
      score(plan, block, kv, scale, scratch.queries.get(), keys, scratch.scores.get());
      score(plan, block, kv, 1, scratch.sums.get(), values, scratch.grads.get());
      kernels::attention_softmax_backward(softmax_rows(plan, block, scratch), scratch.lse.get(), scratch.delta.get(),
                                          scratch.scores.get(), scratch.grads.get());
      spread(plan, block, kv, 1, scratch.scores.get(), scratch.sums.get(), grad_v);
      spread(plan, block, kv, scale, scratch.grads.get(), scratch.queries.get(), grad_k);
      weigh(plan, block, kv, scale, scratch.grads.get(), keys, scratch.sums.get());
      each_row(plan, block, kv, [&](std::int64_t row, std::int64_t i, std::int64_t head, std::int64_t) {
        std::copy_n(scratch.sums.get() + row * plan.width, plan.width, grad_q + (i * plan.heads + head) * plan.width);
      });
    }
  });
  return grad;
}

}  // namespace thinkrec
