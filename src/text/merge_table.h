#pragma once
// The merges of a byte-pair encoding and their application to one word. Private to src/text.

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace thinkrec {

/// Memory that one caller after another uses for its words.
struct MergeScratch {
  struct Symbol {
    std::int32_t id, previous, next;  ///< token, and its neighbours' positions; -1: none
  };
  struct Candidate {
    std::int32_t rank, at, left, right;  ///< the pair (left, right) of tokens at position `at`
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class MergeTable {
 public:
  struct Merge {
    std::int32_t rank, result;  ///< lower ranks go first; the token that the pair becomes
  };

  /// The pair of tokens becomes merge.result; replaces an earlier merge of the pair.
  void set(std::int32_t left, std::int32_t right, Merge merge) { merges_.insert_or_assign(key(left, right), merge); }

  /// Merges the word's tokens in place, lowest rank first and leftmost among equals, until no pair has a merge; gives how many
  /// are left, at the front of `ids`. O(n log n) for n tokens, of which there are less than 2^31.
  std::size_t apply(std::span<std::int32_t> ids, MergeScratch& scratch) const;

 private:
  struct KeyHash {
    std::size_t operator()(std::uint64_t key) const {
      return static_cast<std::size_t>((key ^ (key >> 29)) * 0x9e3779b97f4a7c15U);
    }
  };
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  }
  const Merge* find(std::int32_t left, std::int32_t right) const {
    const auto found = merges_.find(key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
  }

  std::unordered_map<std::uint64_t, Merge, KeyHash> merges_;
};

}  // namespace thinkrec
