#include <vector>

#include "core/error.h"
#include "kernels/dropout.h"
#include "kernels/lora_mixture.h"

namespace thinkrec::kernels {
namespace {

struct Side {
  const LoraWeights& weights;
  std::uint32_t projection;
};

// The dropped-out x of one token.
std::vector<double> dropped(const LoraBatch& batch, std::uint32_t projection, std::int64_t token, std::vector<double>* factors) {
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(batch.width), 1);
  const double scale = 1.0 / (1.0 - static_cast<double>(batch.dropout.probability));
  if (batch.dropout.probability != 0) {
    dropout_keep_mask_reference(batch.dropout, projection, batch.sample[token], batch.position[token], batch.width, keep.data());
  }
  std::vector<double> x(keep.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double factor = keep[i] != 0 ? scale : 0;
    x[i] = factor * batch.x[token * batch.width + static_cast<std::int64_t>(i)];
    if (factors != nullptr) factors->push_back(factor);
  }
  return x;
}

void forward(const LoraMixture& mixture, const Side& side, float* out, float* low) {
  const LoraBatch& batch = mixture.batch;
  const std::int64_t rank = batch.rank, width = batch.width;
  for (std::int64_t t = 0; t < batch.tokens; ++t) {
    const std::vector<double> x = dropped(batch, side.projection, t, nullptr);
    for (std::int64_t e = 0; e < mixture.experts; ++e) {
      const double weight = mixture.weight[t * mixture.experts + e];
      std::vector<double> z(static_cast<std::size_t>(rank), 0);
      for (std::int64_t r = 0; weight != 0 && r < rank; ++r) {
        for (std::int64_t i = 0; i < width; ++i)
          z[static_cast<std::size_t>(r)] += x[static_cast<std::size_t>(i)] * side.weights.a[(e * rank + r) * width + i];
      }
      for (std::int64_t r = 0; low != nullptr && r < rank; ++r)
        low[(e * batch.tokens + t) * rank + r] = static_cast<float>(z[static_cast<std::size_t>(r)]);
      for (std::int64_t o = 0; weight != 0 && o < side.weights.out; ++o) {
        double sum = 0;
        for (std::int64_t r = 0; r < rank; ++r)
          sum += z[static_cast<std::size_t>(r)] * side.weights.b[(e * side.weights.out + o) * rank + r];
        float& to = out[t * side.weights.out + o];
        to = static_cast<float>(to + static_cast<double>(batch.scale) * weight * sum);
      }
    }
  }
}

void backward(const LoraMixture& mixture, const Side& side, const float* grad, const float* low, float* grad_a, float* grad_b,
              float* grad_x) {
  const LoraBatch& batch = mixture.batch;
  const std::int64_t rank = batch.rank, width = batch.width, out = side.weights.out;
  for (std::int64_t t = 0; t < batch.tokens; ++t) {
    std::vector<double> factors;
    const std::vector<double> x = dropped(batch, side.projection, t, &factors);
    for (std::int64_t e = 0; e < mixture.experts; ++e) {
      const double scale = static_cast<double>(batch.scale) * mixture.weight[t * mixture.experts + e];
      for (std::int64_t r = 0; scale != 0 && r < rank; ++r) {
        double grad_low = 0;
        for (std::int64_t o = 0; o < out; ++o) {
          const double g = grad[t * out + o];
          grad_low += g * side.weights.b[(e * out + o) * rank + r];
          float& to = grad_b[(e * out + o) * rank + r];
          to = static_cast<float>(to + scale * g * low[(e * batch.tokens + t) * rank + r]);
        }
        for (std::int64_t i = 0; i < width; ++i) {
          const std::int64_t a = (e * rank + r) * width + i;
          grad_a[a] = static_cast<float>(grad_a[a] + scale * grad_low * x[static_cast<std::size_t>(i)]);
          if (grad_x == nullptr) continue;
          float& to = grad_x[t * width + i];
          to = static_cast<float>(to + scale * grad_low * side.weights.a[a] * factors[static_cast<std::size_t>(i)]);
        }
      }
    }
  }
}

}  // namespace

void lora_mixture_forward_reference(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, float* q_out,
                                    float* v_out, float* q_low, float* v_low) {
  THINKREC_CHECK(mixture.experts >= 1, "experts {}", mixture.experts);
  forward(mixture, {q, 0}, q_out, q_low);
  forward(mixture, {v, 1}, v_out, v_low);
}

void lora_mixture_backward_reference(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                                     const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q,
                                     float* grad_b_q, float* grad_a_v, float* grad_b_v, float* grad_x) {
  THINKREC_CHECK(mixture.experts >= 1, "experts {}", mixture.experts);
  backward(mixture, {q, 0}, grad_q, q_low, grad_a_q, grad_b_q, grad_x);
  backward(mixture, {v, 1}, grad_v, v_low, grad_a_v, grad_b_v, grad_x);
}

}  // namespace thinkrec::kernels
