// Readers of base models: Hugging Face folders and GGUF files, into the block layout of weights.h.

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/joined.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/weights.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

void check_shape(const std::string& origin, const std::string& name, const std::vector<std::int64_t>& shape,
                 const at::Tensor& to) {
  if (at::IntArrayRef(shape) != to.sizes()) {
    fail(ExitCode::kBadData, "{}: tensor '{}' has shape [{}], the configuration asks for [{}]", origin, name, joined(shape, ", "),
         joined(to.sizes(), ", "));
  }
}

/// llama.cpp stores a head's rows as (pair, half); Hugging Face as (half, pair).
void unpermute_rows(const at::Tensor& matrix, std::int64_t heads) {
  const std::int64_t rows = matrix.size(0), width = matrix.size(1), half = rows / heads / 2;
  matrix.copy_(matrix.view({heads, half, 2, width}).transpose(1, 2).reshape({rows, width}));
}

/// One in `parts` of the weights, by the number of their elements in turn to the part that has the fewest.
std::vector<NamedWeight> weights_of_part(const LlamaConfig& config, float* block, int part, int parts) {
  std::vector<NamedWeight> own;
  std::vector<std::int64_t> load(static_cast<std::size_t>(parts));
  for (NamedWeight& slot : named_weights(config, view_weights(config, block))) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += slot.tensor.numel();
    if (least - load.begin() == part) own.push_back(std::move(slot));
  }
  return own;
}

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(const std::string& path) : file_(path), config_(gguf_config(file_)) {
    for (const NamedWeight& slot : named_weights(config_, view_weights(config_, nullptr))) tensor_of(slot);
  }
  const LlamaConfig& config() const override { return config_; }

  void read_part(float* block, int part, int parts) const override {
    const at::NoGradGuard no_grad;
    for (const NamedWeight& slot : weights_of_part(config_, block, part, parts)) {
      file_.read(tensor_of(slot), slot.tensor.mutable_data_ptr<float>());
      if (slot.permuted_heads > 0) unpermute_rows(slot.tensor, slot.permuted_heads);
    }
  }

  std::vector<std::string> weight_files() const override { return {file_.path()}; }
  std::string hash_of(std::span<const std::string> file_hashes) const override { return file_hashes[0]; }

 private:
  const GgufTensor& tensor_of(const NamedWeight& slot) const {
    const GgufTensor& tensor = file_.tensor(slot.gguf);
    check_shape(file_.path(), slot.gguf, tensor.shape, slot.tensor);
    return tensor;
  }

  GgufFile file_;
  LlamaConfig config_;
};

class HfSource final : public ModelSource {
 public:
  explicit HfSource(const std::string& folder)
      : config_text_(read_file(config_path(folder), 1 << 20)),
        config_(parse_hf_config(config_text_, config_path(folder))),
        tensors_(folder) {
    for (const NamedWeight& slot : named_weights(config_, view_weights(config_, nullptr))) place_of(slot);
  }
  const LlamaConfig& config() const override { return config_; }

  void read_part(float* block, int part, int parts) const override {
    for (const NamedWeight& slot : weights_of_part(config_, block, part, parts)) {
      const SafetensorsFolder::Place place = place_of(slot);
      place.file->read(*place.entry, slot.tensor.mutable_data_ptr<float>());
    }
  }

  std::vector<std::string> weight_files() const override {
    std::vector<std::string> paths;
    for (const auto& file : tensors_.files()) paths.push_back(file.path());
    return paths;
  }
  std::string hash_of(std::span<const std::string> file_hashes) const override {
    std::string all = config_text_;
    for (const std::string& hash : file_hashes) all += hash;
    return sha256_hex(all);
  }

 private:
  static std::string config_path(const std::string& folder) { return (fs::path(folder) / "config.json").string(); }
  SafetensorsFolder::Place place_of(const NamedWeight& slot) const {
    const SafetensorsFolder::Place place = tensors_.place(slot.hf);
    check_shape(place.file->path(), slot.hf, place.entry->shape, slot.tensor);
    return place;
  }

  std::string config_text_;
  LlamaConfig config_;
  SafetensorsFolder tensors_;
};

}  // namespace

std::string ModelSource::hash() const {
  std::vector<std::string> hashes;
  for (const std::string& path : weight_files()) hashes.push_back(sha256_file(path));
  return hash_of(hashes);
}

std::unique_ptr<ModelSource> ModelSource::open(const std::string& path) {
  if (!fs::exists(path)) {
    fail(ExitCode::kNoInput,
         "{}: no such model; give a Hugging Face folder or a .gguf file (launch/setup.sh fetches the embedded one)", path);
  }
  if (fs::is_directory(path)) return std::make_unique<HfSource>(path);
  return std::make_unique<GgufSource>(path);
}

}  // namespace thinkrec
