#pragma once
// JSON objects, one a line, plain or gzip; errors carry file:line.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

/// The objects of a file, of which some members are wanted: the others are checked to be JSON and forgotten. A member is named
/// by its index in `keys`; null is as good as missing. Blank lines are skipped.
class JsonLines {
 public:
  JsonLines(const std::string& path, std::vector<std::string> keys);  ///< kNoInput when it cannot be opened
  ~JsonLines();
  /// Next object; false at the end. kBadData (file:line) for what is no JSON object, holds a wanted key twice, is nested deeper
  /// than 64 levels, or for a damaged gzip stream.
  bool next();
  /// A text; kBadData when it is missing or something else.
  const std::string& text(std::size_t key) const;
  /// A text or the texts of a list of any depth, other elements of it left out; empty when missing; kBadData for something else.
  const std::vector<std::string>& texts(std::size_t key) const;
  /// A finite number; kBadData when it is missing or something else.
  double real(std::size_t key) const;
  /// The same, whole and within 64 bits; 5.0 is.
  std::int64_t integer(std::size_t key) const;
  /// "file:line", for messages of the caller.
  std::string place() const;
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thinkrec
