#pragma once
// GGUF model files (llama.cpp's container): metadata and quantised tensors, read with bounded sizes and checked arithmetic.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "io/random_access_file.h"

namespace thinkrec {

/// One metadata value. Integers of every width are int64 (uint64 above 2^63-1 is refused), floats are double.
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< row-major, outermost first (GGUF stores it the other way round)
  std::uint32_t type = 0;           ///< ggml type id
  std::uint64_t offset = 0;         ///< bytes from the start of the file
  std::int64_t elements = 0;
};

/// An open GGUF file. Tensor data is read with pread, never mapped: a file that shrinks gives an error, not a SIGBUS.
/// Errors: kNoInput when it cannot be opened, kBadData naming file and field otherwise.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  ~GgufFile();
  GgufFile(GgufFile&&) noexcept;
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(GgufFile&&) = delete;

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  bool has(const std::string& key) const { return metadata_.contains(key); }
  /// The metadata value under `key`; kBadData when it is missing or of another type.
  template <class T>
  const T& get(const std::string& key) const;
  /// The tensor called `name`; kBadData when there is none.
  const GgufTensor& tensor(const std::string& name) const;
  /// Dequantises a whole tensor (F32, F16, BF16, Q8_0, Q4_0, Q4_1) into `out`, which holds tensor.elements floats.
  void read(const GgufTensor& tensor, float* out) const;

 private:
  RandomAccessFile file_;
  std::map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;  // by name, into tensors_
};

/// "Q4_1" and the like, for messages; "type 99" for one not known here.
std::string gguf_type_name(std::uint32_t type);

}  // namespace thinkrec
