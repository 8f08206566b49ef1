#pragma once
// Adapters as PEFT stores them: adapter_config.json + adapter_model.safetensors.

#include <string>

#include "adapters/lora.h"

namespace thinkrec {

/// Reads a PEFT LoRA folder for this model. kBadData when it targets other modules than q_proj and v_proj, lacks a tensor or has one too
/// many: an adapter that would silently do nothing is an error.
struct PeftAdapter {
  LoraConfig config;
  LoraAdapter adapter;
};
PeftAdapter load_peft_adapter(const std::string& folder, const LlamaConfig& model);

}  // namespace thinkrec
