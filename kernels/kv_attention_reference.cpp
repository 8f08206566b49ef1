#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/kv_attention.h"

namespace thinkrec::kernels {

template <class Real>
void kv_store(const KvShape& shape, const float* k, const float* v, std::int64_t tokens, const KvSegment<Real>& segment,
              std::int64_t at) {
  THINKREC_CHECK(at >= 0 && tokens >= 0 && at + tokens <= segment.capacity && segment.capacity % kKeyBlock == 0,
                 "{} tokens at {} of {}", tokens, at, segment.capacity);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t to = at + t;
    for (std::int64_t head = 0; head < shape.kv_heads; ++head) {
      const float* key = k + (t * shape.kv_heads + head) * shape.head_width;
      const float* value = v + (t * shape.kv_heads + head) * shape.head_width;
      Real* keys = segment.keys + (head * segment.capacity + to / kKeyBlock * kKeyBlock) * shape.head_width + to % kKeyBlock;
      Real* values = segment.values + (head * segment.capacity + to) * shape.head_width;
      for (std::int64_t d = 0; d < shape.head_width; ++d) {
        from_float(key[d], keys[d * kKeyBlock]);
        from_float(value[d], values[d]);
      }
    }
  }
}

template <class Real>
void kv_attention_reference(const KvShape& shape, const float* q, std::span<const KvRow<Real>> rows, float* out) {
  const std::int64_t width = shape.head_width;
  for (const KvRow<Real>& row : rows) {
    std::int64_t held = 0;
    for (const KvSegment<Real>& segment : row.segments) held += segment.length;
    for (std::int64_t t = 0; t < row.tokens; ++t) {
      const std::int64_t seen = held - row.tokens + t + 1;
      for (std::int64_t head = 0; head < shape.heads; ++head) {
        const std::int64_t kv = head / (shape.heads / shape.kv_heads), place = ((row.begin + t) * shape.heads + head) * width;
        std::vector<double> score, sum(static_cast<std::size_t>(width), 0);
        const auto each_key = [&](auto&& visit) {
          std::int64_t left = seen;
          for (const KvSegment<Real>& segment : row.segments) {
            for (std::int64_t i = 0; i < segment.length && left > 0; ++i, --left) visit(segment, i);
          }
        };
        each_key([&](const KvSegment<Real>& segment, std::int64_t i) {
          const Real* keys = segment.keys + (kv * segment.capacity + i / kKeyBlock * kKeyBlock) * width + i % kKeyBlock;
          double dot = 0;
          for (std::int64_t d = 0; d < width; ++d) dot += static_cast<double>(q[place + d]) * to_float(keys[d * kKeyBlock]);
          score.push_back(dot / std::sqrt(static_cast<double>(width)));
        });
        const double top = *std::max_element(score.begin(), score.end());
        double total = 0;
        for (double& s : score) total += s = std::exp(s - top);
        std::size_t next = 0;
        each_key([&](const KvSegment<Real>& segment, std::int64_t i) {
          const Real* values = segment.values + (kv * segment.capacity + i) * width;
          for (std::int64_t d = 0; d < width; ++d) sum[static_cast<std::size_t>(d)] += score[next] / total * to_float(values[d]);
          ++next;
        });
        for (std::int64_t d = 0; d < width; ++d) out[place + d] = static_cast<float>(sum[static_cast<std::size_t>(d)]);
      }
    }
  }
}

template void kv_store(const KvShape&, const float*, const float*, std::int64_t, const KvSegment<float>&, std::int64_t);
template void kv_store(const KvShape&, const float*, const float*, std::int64_t, const KvSegment<Bfloat16>&, std::int64_t);
template void kv_attention_reference(const KvShape&, const float*, std::span<const KvRow<float>>, float*);
template void kv_attention_reference(const KvShape&, const float*, std::span<const KvRow<Bfloat16>>, float*);

}  // namespace thinkrec::kernels
