#pragma once
// Collects items and ratings into RawData: gives raw ids their numbers, and refuses what every format refuses.

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data/raw_data.h"
#include "io/csv.h"

namespace thinkrec {

/// Looks up texts by views, so that a row of a large file allocates nothing.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using TextIndex = std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>>;

class RawBuilder {
 public:
  explicit RawBuilder(const PrepareOptions& options) : options_(options) {}

  /// An item, all of them before the first rating. `file` stands at its record, for messages. An empty title becomes the id.
  /// kBadData when the id is empty, not UTF-8, or was there before.
  void add_item(const CsvReader& file, std::string id, std::string title, std::string keywords, std::string profile);

  /// The user's number, a new one for a new id; kBadData when it is empty or not UTF-8.
  std::int32_t user(const CsvReader& file, std::string_view id);
  /// The item's number; an unknown one is -1, a new item, or kBadData, as the options say.
  std::int32_t item(const CsvReader& file, std::string_view id);

  void add_rating(std::int32_t user, std::int32_t item, double rating, std::int64_t timestamp);
  /// The common case: ids looked up, an interaction with an unknown item dropped or refused.
  void add_rating(const CsvReader& file, std::string_view user, std::string_view item, double rating, std::int64_t timestamp);

  /// `paths`: the files read, interactions first, for the hash. kBadData when there are no interactions.
  RawData finish(const std::vector<std::string>& paths);

  const RawData& data() const { return raw_; }

 private:
  std::int32_t add_unlisted(const CsvReader& file, std::string_view id);

  const PrepareOptions& options_;
  RawData raw_;
  TextIndex users_, items_;
  std::string items_path_;  // for messages
};

/// Reads items.csv as the formats `ratings` and `csv` have it: id, title, keywords (or else the category) and profile where there are
/// such columns. Returns the path it read.
std::string read_items_csv(RawBuilder& builder, const PrepareOptions& options, const std::string& id_column);

}  // namespace thinkrec
