#include <cmath>
#include <numbers>

#include "core/error.h"
#include "kernels/rope.h"

namespace thinkrec::kernels {

// Every operation is rounded to fp32, in the order of transformers' _compute_llama3_parameters as torch runs it (number / tensor
// is number * reciprocal), because models are trained with those very numbers. CMakeLists.txt keeps the compiler from fusing
// them.
std::vector<float> rope_inverse_frequencies(std::int64_t head_width, double theta, const RopeScaling& scaling) {
  THINKREC_CHECK(head_width >= 2 && head_width % 2 == 0 && theta > 0, "head width {}, theta {}", head_width, theta);
  const double low = scaling.low_frequency_factor, high = scaling.high_frequency_factor;
  THINKREC_CHECK(!scaling.llama3 || (scaling.factor > 0 && low > 0 && high > low && scaling.original_length > 0),
                 "llama3 scaling: factor {}, low {}, high {}, length {}", scaling.factor, low, high, scaling.original_length);
  std::vector<float> frequencies(static_cast<std::size_t>(head_width / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_width);
    const float frequency = 1.0f / std::pow(static_cast<float>(theta), exponent);
    frequencies[i] = frequency;
    if (!scaling.llama3) continue;
    const float factor = static_cast<float>(scaling.factor), length = static_cast<float>(scaling.original_length);
    const float wavelength = (1.0f / frequency) * static_cast<float>(2 * std::numbers::pi);
    const float longest = static_cast<float>(scaling.original_length / low);
    const float shortest = static_cast<float>(scaling.original_length / high);
    if (wavelength > longest) {
      frequencies[i] = frequency / factor;
    } else if (wavelength >= shortest) {
      const float smooth = ((1.0f / wavelength) * length - static_cast<float>(low)) / static_cast<float>(high - low);
      frequencies[i] = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
  return frequencies;
}

RopeTable make_rope_table(std::int64_t length, std::int64_t head_width, double theta, const RopeScaling& scaling) {
  return make_rope_table(length, rope_inverse_frequencies(head_width, theta, scaling));
}

RopeTable make_rope_table(std::int64_t length, const std::vector<float>& frequencies) {
  THINKREC_CHECK(length >= 0, "length {}", length);
  RopeTable table{length, static_cast<std::int64_t>(frequencies.size()) * 2, {}, {}};
  const std::size_t size = static_cast<std::size_t>(length) * frequencies.size();
  table.cos.reserve(size);
  table.sin.reserve(size);
  for (std::int64_t position = 0; position < length; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      table.cos.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
      table.sin.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
    }
  }
  return table;
}

}  // namespace thinkrec::kernels
