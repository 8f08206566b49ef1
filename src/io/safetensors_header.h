#pragma once
// The JSON header of a safetensors file, apart from the file. Private to src/io.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace thinkrec {

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< by offset
  std::map<std::string, std::string> metadata;
};

/// Parses and checks a header whose data takes the bytes [data_begin, data_begin + data_bytes) of the file. Accepts what the
/// reference implementation (PyPI safetensors 0.8) accepts, except, on purpose: a tensor name or metadata key given twice, a
/// dimension above 2^63-1, a tensor described by a list in place of an object, a dtype written as an object.
/// Error kBadData naming `origin`.
SafetensorsHeader parse_safetensors_header(const std::string& text, std::uint64_t data_begin, std::uint64_t data_bytes,
                                           const std::string& origin);

}  // namespace thinkrec
