#include "core/error.h"
#include "kernels/dropout.h"

namespace thinkrec::kernels {

void dropout_keep_mask_reference(const DropoutKey& key, std::uint32_t projection, std::uint64_t sample, std::uint32_t position,
                                 std::int64_t width, std::uint8_t* keep) {
  THINKREC_CHECK(key.probability >= 0 && key.probability < 1, "dropout probability {}", key.probability);
  const PhiloxWords stream = dropout_stream(key, sample);
  for (std::int64_t feature = 0; feature < width; ++feature) {
    const std::uint32_t block = static_cast<std::uint32_t>(feature / kDropoutBlock);
    const PhiloxWords words = dropout_words(stream, key.layer, projection, position, block);
    const std::int64_t half = feature % kDropoutBlock;
    const std::uint32_t bits = (words.word[half / 2] >> (16 * (half % 2))) & 0xFFFFu;
    keep[feature] = bits >= dropout_threshold(key.probability) ? 1 : 0;
  }
}

}  // namespace thinkrec::kernels
