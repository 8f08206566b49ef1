#pragma once
// Adapters as PEFT stores them: adapter_config.json + adapter_model.safetensors.

#include <string>

#include "adapters/lora.h"

namespace thinkrec {

/// Reads a PEFT LoRA folder for this model. kBadData when it targets other modules than q_proj and v_proj, lacks a tensor or has
/// one too many, or belongs to base weights that PEFT changes: an adapter that would silently do nothing, or something else, is an
/// error.
struct PeftAdapter {
  LoraConfig config;
  LoraAdapter adapter;
};
PeftAdapter load_peft_adapter(const std::string& folder, const LlamaConfig& model);

/// SHA-256 of what is in such a folder, its settings and its factors. kNoInput naming the file that cannot be read.
std::string peft_folder_hash(const std::string& folder);

/// Writes such a folder, for any program that reads PEFT's. PEFT knows one rank and one scale for all layers, and a merged adapter has
/// several: all get the largest rank, filled up with zeros, and the scale goes into B (so lora_alpha is r). `base` names the model it
/// belongs to. kIo naming the path.
void save_peft_adapter(const std::string& folder, const LoraAdapter& adapter, const std::string& base);

}  // namespace thinkrec
