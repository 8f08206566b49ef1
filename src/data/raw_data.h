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

struct PrepareOptions {
  std::string format;                                      ///< a name of formats()
  std::string input;                                       ///< folder of the raw files
  std::string name;                                        ///< empty: the folder's name
  double threshold = 4;                                    ///< label = rating >= threshold
  std::array<double, 3> split = {0.8, 0.1, 0.1};           ///< of all interactions in order of time; sum 1
  std::optional<std::array<std::int64_t, 2>> split_times;  ///< instead: train < T1 <= valid < T2 <= test
  std::optional<std::int64_t> window_start, window_end;    ///< keep start <= timestamp < end
  std::int64_t min_interactions = 0;                       ///< keep users and items with strictly more, in one simultaneous pass
  bool strip_year = false;                                 ///< "Heat (1995)" -> "Heat"
  bool drop_unknown_items = false;  ///< leave out interactions whose item the items file lacks, instead of refusing them
  bool keep_unrated_items = false;
  std::optional<Noun> noun;  ///< none: "movie" for MovieLens data, else "item"
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
      splits;               ///< ready-made splits as indices into the above; all empty where there are none
  std::string source_hash;  ///< SHA-256 over the raw files
  std::int64_t untitled_items = 0, dropped_interactions = 0;  ///< for warnings

  bool has_splits() const { return !splits[0].empty() || !splits[1].empty() || !splits[2].empty(); }
};

}  // namespace thinkrec
