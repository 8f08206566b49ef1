#include "core/error.h"
#include "kernels/dropout.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

constexpr std::int64_t kGroup = 16;  // Philox calls side by side: a loop of this length is what the compiler turns into vectors

// The 16-bit halves of blocks first to first + kGroup - 1, in the order of features.
inline void dropout_halves(const PhiloxWords& stream, std::uint32_t layer, std::uint32_t projection, std::uint32_t position,
                           std::uint32_t first, std::uint16_t* halves) {
  std::uint32_t c0[kGroup], c1[kGroup], c2[kGroup], c3[kGroup];
  for (std::uint32_t i = 0; i < kGroup; ++i) {
    c0[i] = position;
    c1[i] = first + i;
    c2[i] = layer ^ stream.word[2];
    c3[i] = projection ^ stream.word[3];
  }
  std::uint32_t key0 = stream.word[0], key1 = stream.word[1];
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (std::int64_t i = 0; i < kGroup; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c0[i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c2[i];
      c0[i] = static_cast<std::uint32_t>(product1 >> 32) ^ c1[i] ^ key0;
      c1[i] = static_cast<std::uint32_t>(product1);
      c2[i] = static_cast<std::uint32_t>(product0 >> 32) ^ c3[i] ^ key1;
      c3[i] = static_cast<std::uint32_t>(product0);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (std::int64_t i = 0; i < kGroup; ++i) {
    const std::uint32_t words[4] = {c0[i], c1[i], c2[i], c3[i]};
    for (std::int64_t w = 0; w < 4; ++w) {
      halves[i * kDropoutBlock + 2 * w] = static_cast<std::uint16_t>(words[w]);
      halves[i * kDropoutBlock + 2 * w + 1] = static_cast<std::uint16_t>(words[w] >> 16);
    }
  }
}

// Calls use(feature, halves, count) for runs of up to kGroup * kDropoutBlock features.
template <class Use>
inline void for_halves(const PhiloxWords& stream, std::uint32_t layer, std::uint32_t projection, std::uint32_t position,
                       std::int64_t width, Use&& use) {
  constexpr std::int64_t kRun = kGroup * kDropoutBlock;
  std::uint16_t halves[kRun];
  for (std::int64_t feature = 0; feature < width; feature += kRun) {
    dropout_halves(stream, layer, projection, position, static_cast<std::uint32_t>(feature / kDropoutBlock), halves);
    use(feature, halves, std::min(kRun, width - feature));
  }
}

}  // namespace

void dropout_keep_mask(const DropoutKey& key, std::uint32_t projection, std::uint64_t sample, std::uint32_t position,
                       std::int64_t width, std::uint8_t* keep) {
  THINKREC_CHECK(key.probability >= 0 && key.probability < 1, "dropout probability {}", key.probability);
  const std::uint32_t threshold = dropout_threshold(key.probability);
  for_halves(dropout_stream(key, sample), key.layer, projection, position, width,
             [&](std::int64_t feature, const std::uint16_t* halves, std::int64_t count) {
               for (std::int64_t i = 0; i < count; ++i) keep[feature + i] = halves[i] >= threshold ? 1 : 0;
             });
}

void dropout_factors(const DropoutKey& key, const PhiloxWords& stream, std::uint32_t projection, std::uint32_t position,
                     std::int64_t width, float* factor) {
  const std::int32_t threshold = static_cast<std::int32_t>(dropout_threshold(key.probability));
  const float kept = 1.0f / (1.0f - key.probability);
  for_halves(stream, key.layer, projection, position, width,
             [&](std::int64_t feature, const std::uint16_t* halves, std::int64_t count) {
               for (std::int64_t i = 0; i < count; ++i) {
                 factor[feature + i] = static_cast<std::int32_t>(halves[i]) >= threshold ? kept : 0.0f;
               }
             });
}

}  // namespace thinkrec::kernels
