#pragma once
// Counter-based dropout: every decision is a pure function of (seed, step, layer, projection, sample, position, feature).
//
// Generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). The counters of one
// decision hold more than its 128 bits, so two calls are chained:
//   stream = philox(counter = (sample, step),                     key = seed)            once per sample and step
//   words  = philox(counter = (position, block, layer ^ stream[2], projection ^ stream[3]), key = stream[0..1])
// One call of the second kind decides for the 8 features of block = feature / 8: feature 8 * block + i takes 16-bit half i
// (low half first) and is kept iff half >= round(probability * 65536). `position` counts from the start of the row the token
// belongs to, never from the start of the pack, so a row has the same mask packed or alone and on any number of ranks.

#include "kernels/views.h"

namespace thinkrec::kernels {

/// Features decided by one Philox call.
inline constexpr std::int64_t kDropoutBlock = 8;

struct PhiloxWords {
  std::uint32_t word[4];
};

/// Ten rounds of Philox4x32 on `counter` under `key`.
THINKREC_HOST_DEVICE inline PhiloxWords philox4x32_10(PhiloxWords counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter =
        PhiloxWords{{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(product1),
                     static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<std::uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The first of the two chained calls: what the decisions of one sample at one step share.
THINKREC_HOST_DEVICE inline PhiloxWords dropout_stream(const DropoutKey& key, std::uint64_t sample) {
  return philox4x32_10(PhiloxWords{{static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32),
                                    static_cast<std::uint32_t>(key.step), static_cast<std::uint32_t>(key.step >> 32)}},
                       static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

/// The second call: 8 halves of 16 bits, for features 8 * block to 8 * block + 7.
THINKREC_HOST_DEVICE inline PhiloxWords dropout_words(const PhiloxWords& stream, std::uint32_t layer, std::uint32_t projection,
                                                      std::uint32_t position, std::uint32_t block) {
  return philox4x32_10(PhiloxWords{{position, block, layer ^ stream.word[2], projection ^ stream.word[3]}}, stream.word[0],
                       stream.word[1]);
}

/// A feature is kept iff its 16 bits are at least this: round(probability * 65536), 0 to 65536.
THINKREC_HOST_DEVICE inline std::uint32_t dropout_threshold(float probability) {
  return static_cast<std::uint32_t>(static_cast<double>(probability) * 65536.0 + 0.5);
}

/// keep[width] = 1 where the feature stays, 0 where it is dropped, for one token. probability 0 keeps all.
/// Error: probability outside [0, 1).
void dropout_keep_mask(const DropoutKey& key, std::uint32_t projection, std::uint64_t sample, std::uint32_t position,
                       std::int64_t width, std::uint8_t* keep);
void dropout_keep_mask_reference(const DropoutKey& key, std::uint32_t projection, std::uint64_t sample, std::uint32_t position,
                                 std::int64_t width, std::uint8_t* keep);

/// The form the kernels use: factor[width] = 1 / (1 - probability) where the feature stays, 0 where it is dropped, for one token;
/// vectorised over blocks. `stream` is dropout_stream(key, sample). No checks.
void dropout_factors(const DropoutKey& key, const PhiloxWords& stream, std::uint32_t projection, std::uint32_t position,
                     std::int64_t width, float* factor);

}  // namespace thinkrec::kernels
