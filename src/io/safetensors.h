#pragma once
// safetensors files: strict reader (as the reference implementation: header cap, no holes, no overlap) and writer.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/random_access_file.h"

namespace thinkrec {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;                 ///< as written: "F32", "F16", "BF16", ...
  std::vector<std::int64_t> shape;   ///< row-major, outermost first
  std::uint64_t begin = 0, end = 0;  ///< bytes from the start of the file
  std::int64_t elements = 0;
};

/// Errors: kNoInput when it cannot be opened, kBadData naming file and defect otherwise.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(SafetensorsFile&&) = delete;

  const std::string& path() const { return file_.path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  ///< by offset
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const SafetensorsEntry* find(const std::string& name) const;  ///< nullptr when there is none
  /// Reads a tensor of dtype F32, F16 or BF16 as floats into `out`, which holds entry.elements of them.
  void read(const SafetensorsEntry& entry, float* out) const;

 private:
  RandomAccessFile file_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
  std::unordered_map<std::string, std::size_t> index_;  // by name, into entries_
};

/// The names of the files in `folder` that hold a model's tensors, sorted: those of model.safetensors.index.json, else
/// model.safetensors. Error kBadData for an index that is no JSON, names a tensor twice, or names anything but a plain file of the
/// folder (a path, a link); whether the files are there is not asked.
std::vector<std::string> safetensors_shards(const std::string& folder);

/// The tensors of a model's folder, whatever files they lie in.
class SafetensorsFolder {
 public:
  /// kNoInput; kBadData as SafetensorsFile and safetensors_shards, and for a tensor that is in two files.
  explicit SafetensorsFolder(const std::string& folder);
  struct Place {
    const SafetensorsFile* file = nullptr;
    const SafetensorsEntry* entry = nullptr;
  };
  Place find(const std::string& name) const;   ///< nulls when there is none
  Place place(const std::string& name) const;  ///< kBadData naming folder and tensor when there is none
  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  std::string folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::size_t> where_;  // index of the file, by tensor
};

/// A fp32 tensor to write.
struct SafetensorsTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  const float* data = nullptr;
};

/// The bytes of a safetensors file with these tensors, in name order, data aligned to 8 bytes.
std::string encode_safetensors(std::vector<SafetensorsTensor> tensors, const std::map<std::string, std::string>& metadata);

enum class SavedType { kF32, kBf16 };

/// The same straight to a file, tensor by tensor; as bf16 each value is rounded to the nearest, ties to even. Errors as
/// write_file_atomic.
void write_safetensors(const std::string& path, std::vector<SafetensorsTensor> tensors,
                       const std::map<std::string, std::string>& metadata, SavedType type);

}  // namespace thinkrec
