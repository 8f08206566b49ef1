#pragma once
// The data set: what thinkrec_prepare writes and everything else reads (one HDF5 file).
// Interactions are stored once, sorted by (user, time, file order); the history of a row is the user's interactions before it,
// with their labels. A split is a list of interactions.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thinkrec {

struct Item {
  std::string id;  ///< as in the raw data
  std::string title;
  std::string keywords;  ///< at most 10, comma separated; may be empty
  /// What the raw data say of it (category, description), at most 100 words, for keywords to be made from; may be empty.
  std::string profile{};
};

/// A synthesised explanation for one train interaction ("Yes. ..." / "No. ...").
struct Reason {
  std::int64_t row = 0;  ///< interaction index
  std::string text;
  std::string provenance;  ///< JSON: model, prompt hash, turns, seed
};

/// How the data set speaks of its items: "book", "books".
struct Noun {
  std::string singular = "item", plural = "items";
};

enum class Split : int { kTrain = 0, kValid = 1, kTest = 2 };
inline constexpr std::array<const char*, 3> kSplitNames = {"train", "valid", "test"};
/// "train" -> kTrain; kConfig naming the three otherwise.
Split parse_split(std::string_view name);

struct Dataset {
  std::string name;  ///< e.g. "ml-100k"
  Noun noun;
  double threshold = 0;            ///< label = rating >= threshold
  std::string source_hash;         ///< SHA-256 over the raw files
  std::vector<Item> items;         ///< index = item number
  std::vector<std::string> users;  ///< raw ids; index = user number

  // Interactions, all of length n, sorted by (user, time, file order).
  std::vector<std::int32_t> user, item;
  std::vector<std::uint8_t> label;
  std::vector<std::int64_t> timestamp;
  std::vector<std::int64_t> user_begin;             ///< users + 1 offsets into the interactions
  std::array<std::vector<std::int64_t>, 3> splits;  ///< interaction indices in the order of the raw file (time order)
  std::vector<Reason> reasons;

  std::int64_t interactions() const { return static_cast<std::int64_t>(user.size()); }
  const std::vector<std::int64_t>& rows(Split split) const { return splits[static_cast<std::size_t>(split)]; }
  /// First interaction index of the history of `row` when at most `limit` are wanted (0: all); it ends before `row`.
  std::int64_t history_begin(std::int64_t row, std::int64_t limit) const;

  /// SHA-256 over everything but the reasons and the items' profiles: what a run directory records.
  std::string hash() const;
  /// SHA-256 over rows and texts of the reasons: what a phase that was trained on them records.
  std::string reasons_hash() const;
  /// kBadData naming `origin` and the defect when the parts do not fit together (sizes, ranges, order, empty split).
  void check(const std::string& origin) const;
};

Dataset load_dataset(const std::string& path);
void save_dataset(const Dataset& dataset, const std::string& path);

}  // namespace thinkrec
