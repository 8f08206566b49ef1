#pragma once
// Rows packed end to end: no padding anywhere. A row may be seen by the rows behind it, which then begin with it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

struct PackedBatch {
  std::vector<std::int32_t> token;  ///< [tokens]; -1 - s stands for feature slot s
  std::vector<std::uint32_t>
      position;                       ///< [tokens] within the row, from 0: RoPE and dropout see this, never the place in the pack
  std::vector<std::uint64_t> sample;  ///< [tokens] id of the row a token belongs to, for dropout
  std::vector<std::int64_t> begin = {0};  ///< [rows + 1] cumulative lengths
  /// [rows] the tokens from a row's end up to here also attend to all of the row: rows that begin with it follow it at once, and those
  /// that begin with them follow these. The row's end when there are none.
  std::vector<std::int64_t> reach;

  std::int64_t tokens() const { return static_cast<std::int64_t>(token.size()); }
  std::int64_t rows() const { return static_cast<std::int64_t>(begin.size()) - 1; }
  std::int64_t length(std::int64_t row) const {
    return begin[static_cast<std::size_t>(row) + 1] - begin[static_cast<std::size_t>(row)];
  }
  /// Appends a row; its first token has position `first_position` (more than 0 when a KV cache or a row before it holds what came before).
  void add(std::span<const std::int32_t> tokens, std::uint64_t sample_id, std::uint32_t first_position = 0) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      token.push_back(tokens[i]);
      position.push_back(first_position + static_cast<std::uint32_t>(i));
      sample.push_back(sample_id);
    }
    begin.push_back(this->tokens());
    reach.push_back(this->tokens());
  }
};

/// The same where the model runs: made once for each pass over the batch.
struct DeviceBatch {
  at::Tensor position;  ///< [tokens] int32, the bits of the unsigned positions
  at::Tensor sample;    ///< [tokens] int64, likewise
  at::Tensor begin;     ///< [rows + 1] int32
  std::vector<std::int64_t> begin_host, reach_host;
  std::int64_t longest = 0;  ///< tokens of the longest row

  std::int64_t tokens() const { return begin_host.back(); }
  std::int64_t rows() const { return static_cast<std::int64_t>(begin_host.size()) - 1; }
  std::int64_t length(std::int64_t row) const {
    return begin_host[static_cast<std::size_t>(row) + 1] - begin_host[static_cast<std::size_t>(row)];
  }
};
DeviceBatch to_device(const PackedBatch& batch, at::Device device);

/// [tokens] int32 on the device.
at::Tensor tokens_to_device(const PackedBatch& batch, at::Device device);

}  // namespace thinkrec
