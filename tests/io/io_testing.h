#pragma once
// What the tests of src/io share: a folder that goes away, the fixtures, and the look of an expected error.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "support/testing.h"

namespace thinkrec::testing {

inline std::string fixture(const std::string& name) { return std::string(THINKREC_SOURCE_DIR) + "/tests/io/fixtures/" + name; }

/// The bytes of a number as files hold it (little-endian).
template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

}  // namespace thinkrec::testing
