#pragma once
// adapter_config.json, which PEFT writes beside an adapter's tensors. Knows no libtorch.

#include <cstdint>
#include <string>
#include <string_view>

namespace thinkrec {

struct PeftConfig {
  std::int64_t rank = 0;  ///< 1..64
  double alpha = 0;       ///< scale = alpha / rank; of a rank-stabilised adapter as well
  double dropout = 0;
};

/// What such a file asks for. kBadData naming `origin` (the file): no JSON object, one nested deeper than 64, no LoRA on q_proj and v_proj,
/// or a setting that would give other results than thinkrec's adapters have.
PeftConfig parse_peft_config(std::string_view text, const std::string& origin);

}  // namespace thinkrec
