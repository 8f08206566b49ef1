#pragma once
// The model's passes for generation on the CPU: kernels over plain buffers, keys and values kept in runs that rows may share, weights in
// fp32 or in 8 bits. A token's result does not depend on what else is in the pass.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/llama.h"

namespace thinkrec {

/// How generation holds the matrices, and keys and values: kFp32 as the model has them, and fp32; kInt8 in 8 bits (kernels/linear_int8.h),
/// products with activations of 8 bits, keys and values in bf16. Embeddings, norms and adapters are fp32 in both.
enum class Precision { kFp32, kInt8 };
/// Of "fp32" or "int8"; kConfig for anything else.
Precision parse_precision(const std::string& name);

/// Keys and values of consecutive tokens of a row, or of the beginning that several rows have in common, in all layers.
class KvRun {
 public:
  /// Room for `capacity` tokens.
  KvRun(const LlamaConfig& config, Precision precision, std::int64_t capacity);
  std::int64_t capacity() const { return capacity_; }
  /// The memory of one layer: keys, then values (kernels/kv_attention.h).
  void* layer(std::int64_t number) const { return memory_.get() + number * layer_bytes_; }

 private:
  std::int64_t capacity_, layer_bytes_;
  std::unique_ptr<unsigned char[]> memory_;
};

/// New tokens of one row in a pass.
struct DecodePiece {
  /// A run and how many of its tokens the new ones follow, in the row's order. The new tokens go behind those of the last, which must have
  /// room; a piece may build on runs that other pieces of the same pass fill.
  struct Part {
    const KvRun* run;
    std::int64_t length;
  };
  std::vector<Part> parts;
  std::span<const std::int32_t> tokens;  ///< -1 - s stands for features[s]; at least one
  at::Tensor features;                   ///< [slots, width] fp32 on the CPU; undefined without slots
  std::uint64_t sample = 0;
  const ProjectionHook* hook = nullptr;  ///< pieces that stand together and have the same hook share its calls
  bool logits = false;                   ///< those behind the last token are wanted
};

class Decoder {
 public:
  /// kInt8 packs the weights here (a second or less for 135M of them). The model, on the CPU in fp32, must outlive the decoder.
  Decoder(const Llama& model, Precision precision, int threads);
  ~Decoder();
  Decoder(Decoder&&) noexcept;

  Precision precision() const { return precision_; }
  /// One pass. Gives [pieces that want logits, vocab], valid until the next pass and free to be changed.
  std::span<float> run(std::span<const DecodePiece> pieces);

 private:
  struct Matrices;
  struct Buffers;
  struct HookRun;
  template <class Real>
  void attend(std::int64_t layer, std::span<const DecodePiece> pieces);
  std::int64_t keep_asked(std::span<const DecodePiece> pieces);

  const Llama& model_;
  Precision precision_;
  int threads_;
  std::unique_ptr<Matrices> matrices_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace thinkrec
