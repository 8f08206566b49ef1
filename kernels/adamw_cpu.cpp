#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/adamw.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

constexpr std::int64_t kChunk = 8192;  // elements of one tensor that one thread takes at a time; fixes the order of sums as well

struct Chunk {
  const AdamwTensor* tensor;
  std::int64_t begin, end;
};

std::vector<Chunk> make_chunks(std::span<const AdamwTensor> tensors) {
  std::vector<Chunk> chunks;
  for (const AdamwTensor& tensor : tensors) {
    THINKREC_CHECK(tensor.size >= 0, "a tensor of size {}", tensor.size);
    for (std::int64_t begin = 0; begin < tensor.size; begin += kChunk) {
      chunks.push_back({&tensor, begin, std::min(tensor.size, begin + kChunk)});
    }
  }
  return chunks;
}

}  // namespace

void adamw(std::span<const AdamwTensor> tensors, const AdamwStep& step, int threads) {
  THINKREC_CHECK(step.step >= 1 && threads >= 1, "step {}, threads {}", step.step, threads);
  THINKREC_CHECK(step.beta1 >= 0 && step.beta1 < 1 && step.beta2 >= 0 && step.beta2 < 1, "betas {}, {}", step.beta1, step.beta2);
  const std::vector<Chunk> chunks = make_chunks(tensors);
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  const float rate = static_cast<float>(step.learning_rate / correction1);
  const float root_correction = static_cast<float>(std::sqrt(correction2));
  const float epsilon = static_cast<float>(step.epsilon), scale = static_cast<float>(step.gradient_scale);
  const float beta2 = static_cast<float>(step.beta2);
  const float fresh1 = static_cast<float>(1 - step.beta1), fresh2 = static_cast<float>(1 - step.beta2);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const AdamwTensor& tensor = *chunks[c].tensor;
    const float decay = static_cast<float>(1 - step.learning_rate * static_cast<double>(tensor.weight_decay));
    simd::for_lanes(chunks[c].begin, chunks[c].end, [&](std::int64_t i, std::int64_t count, auto whole) {
      const Vec g = simd::load_lanes<whole>(tensor.gradient + i, count) * scale;
      Vec m = simd::load_lanes<whole>(tensor.first_moment + i, count);
      Vec v = simd::load_lanes<whole>(tensor.second_moment + i, count);
      m += (g - m) * fresh1;
      v = v * beta2 + g * g * fresh2;
      const Vec w = simd::load_lanes<whole>(tensor.parameter + i, count) * decay;
      simd::store_lanes<whole>(tensor.first_moment + i, m, count);
      simd::store_lanes<whole>(tensor.second_moment + i, v, count);
      simd::store_lanes<whole>(tensor.parameter + i, w - m / (simd::sqrt(v) / root_correction + epsilon) * rate, count);
    });
  }
}

GradientNorm gradient_norm(std::span<const AdamwTensor> tensors, int threads) {
  THINKREC_CHECK(threads >= 1, "threads {}", threads);
  const std::vector<Chunk> chunks = make_chunks(tensors);
  std::vector<double> partial(chunks.size());
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    constexpr std::int64_t kSums = 16;
    double sums[kSums] = {};
    const float* gradient = chunks[c].tensor->gradient;
    std::int64_t i = chunks[c].begin;
    for (; i + kSums <= chunks[c].end; i += kSums) {
      for (std::int64_t k = 0; k < kSums; ++k) sums[k] += static_cast<double>(gradient[i + k]) * gradient[i + k];
    }
    for (std::int64_t k = 0; i + k < chunks[c].end; ++k) sums[k] += static_cast<double>(gradient[i + k]) * gradient[i + k];
    for (const double sum : sums) partial[c] += sum;
  }
  double squares = 0;
  for (const double part : partial) squares += part;
  // Squares of finite floats cannot overflow fp64, so the sum tells about every gradient.
  return {std::sqrt(squares), std::isfinite(squares)};
}

}  // namespace thinkrec::kernels
