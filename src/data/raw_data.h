#pragma once
// What a format's reader hands to the common build step, and the settings of both.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

/// Header names of the raw files; an empty one is the format's own name.
struct ColumnNames {
  std::string user, item, rating, timestamp;           ///< of the interactions; `item` also of the items file
  std::string title, keywords, category, description;  ///< of the items file
};

enum class UnknownItems { kRefuse, kDrop, kKeep };  ///< an interaction whose item the items file lacks; kept: untitled
enum class Duplicates { kKeep, kFirst, kLast };     ///< several interactions of a user with one item

struct PrepareOptions {
  std::string format;                                      ///< a name of formats()
  std::string input;                                       ///< folder of the raw files
  std::string like;                                        ///< synthetic data, which have none: "yelp" or "book"
  std::uint64_t seed = 1;                                  ///< of synthetic data
  double scale = 1;                                        ///< of synthetic data: of the paper's users, items and rows
  std::string name;                                        ///< empty: the folder's name, or "synthetic-yelp"
  double threshold = 4;                                    ///< label = rating >= threshold
  std::array<double, 3> split = {0.8, 0.1, 0.1};           ///< of all interactions in order of time; sum 1
  std::optional<std::array<std::int64_t, 2>> split_times;  ///< instead: train < T1 <= valid < T2 <= test
  std::optional<std::int64_t> train_until;                 ///< instead: train before it, the rest halved in order of time
  std::optional<std::int64_t> window_start, window_end;    ///< keep start <= timestamp < end
  std::int64_t min_interactions = 0;                       ///< keep users and items with strictly more, in one simultaneous pass
  std::int64_t k_core = 0;                                 ///< then, repeatedly, those with at least so many
  Duplicates duplicates = Duplicates::kKeep;               ///< inside the window, before interactions are counted
  bool strip_year = false;                                 ///< "Heat (1995)" -> "Heat"
  UnknownItems unknown_items = UnknownItems::kRefuse;
  bool keep_unrated_items = false;
  std::optional<Noun> noun;  ///< none: what the format says, "movie" for MovieLens data, else "item"
  ColumnNames columns;
};

/// Raw ratings, all of length n, in an order that settles ties of time: the file's.
struct RawData {
  std::vector<std::string> users;  ///< raw ids
  std::vector<Item> items;         ///< in the order of the items file
  std::vector<std::int32_t> user, item;
  std::vector<double> rating;
  std::vector<std::int64_t> timestamp;
  bool labelled = false;  ///< the ratings are labels already, 0 or 1
  std::array<std::vector<std::int64_t>, 3>
      splits;                ///< ready-made splits as indices into the above; all empty where there are none
  std::string source_hash;   ///< SHA-256 over the raw files
  std::optional<Noun> noun;  ///< of these data, where the format knows it
  // For warnings.
  std::int64_t untitled_items = 0,
               unlisted_items = 0;  ///< whose id stands in for the title: the file has none; it lacks the item
  std::int64_t relisted_items = 0, dropped_interactions = 0;

  bool has_splits() const { return !splits[0].empty() || !splits[1].empty() || !splits[2].empty(); }
};

}  // namespace thinkrec
