#pragma once
// A YAML document as a small tree that knows its lines and columns; bounded, since recipes may be of unknown origin.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace thinkrec {

struct YamlPlace {
  int line = 1;  ///< both from 1
  int column = 1;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry {
    std::string key;
    YamlPlace place;
    std::shared_ptr<const YamlNode> value;
  };

  Kind kind = Kind::kNull;
  YamlPlace place;
  std::string text;                                    ///< kScalar
  std::vector<std::shared_ptr<const YamlNode>> items;  ///< kSequence
  std::vector<Entry> entries;                          ///< kMap, in order, duplicates included
  std::size_t nodes = 1;                               ///< in this tree, aliases expanded
  std::size_t height = 1;
};

/// What is wrong with a document and where.
struct YamlError {
  YamlPlace place;
  std::string message;
};

constexpr std::size_t kMaxRecipeBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxYamlDepth = 64;
constexpr std::size_t kMaxYamlNodes = 100'000;

/// One document, UTF-8. Throws YamlError: bad syntax, a second document, tags, depth or size over the bounds (aliases expanded),
/// an alias inside the node it names, keys that are not scalars, control characters.
std::shared_ptr<const YamlNode> parse_yaml(const std::string& text);

/// A scalar that parse_yaml reads back as this text, which must be UTF-8; plain where that is safe, else in double quotes.
std::string yaml_scalar(const std::string& text);

}  // namespace thinkrec
