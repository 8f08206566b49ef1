#include "text/byte_bpe.h"

#include <algorithm>
#include <mutex>
#include <queue>

#include "core/error.h"
#include "io/file.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

/// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 onwards.
std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> letters{};
  char32_t next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
    letters[static_cast<std::size_t>(b)] = printable ? static_cast<char32_t>(b) : next++;
  }
  return letters;
}

struct PairHash {
  std::size_t operator()(std::uint64_t pair) const { return (pair ^ (pair >> 29)) * 0x9e3779b97f4a7c15U; }
};

class ByteBpe final : public Tokenizer {
 public:
  ByteBpe(ByteBpeSpec spec, const std::string& origin) : spec_(std::move(spec)) {
    const auto letters = byte_alphabet();
    std::unordered_map<char32_t, std::uint8_t> byte_of;
    for (std::size_t b = 0; b < 256; ++b) byte_of.emplace(letters[b], static_cast<std::uint8_t>(b));
    special_.assign(spec_.tokens.size(), false);
    for (const std::int32_t id : spec_.special) special_[static_cast<std::size_t>(id)] = true;
    bytes_.resize(spec_.tokens.size());
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      if (special_[id] || spec_.tokens[id].empty()) continue;
      if (!id_.emplace(spec_.tokens[id], static_cast<std::int32_t>(id)).second) {
        fail(ExitCode::kBadData, "{}: token {} is there twice", origin, id);
      }
      for (const char32_t c : decode_utf8(spec_.tokens[id])) {
        const auto found = byte_of.find(c);
        if (found == byte_of.end()) fail(ExitCode::kBadData, "{}: token {} ('{}') is not in the byte alphabet", origin, id, spec_.tokens[id]);
        bytes_[id] += static_cast<char>(found->second);
      }
      whole_.emplace(bytes_[id], static_cast<std::int32_t>(id));
    }
    for (std::size_t b = 0; b < 256; ++b) {
      std::string letter;
      append_utf8(letter, letters[b]);
      const auto found = id_.find(letter);
      byte_id_[b] = found == id_.end() ? -1 : found->second;
    }
    for (std::size_t rank = 0; rank < spec_.merges.size(); ++rank) {
      const auto& [left, right] = spec_.merges[rank];
      const auto a = id_.find(left), b = id_.find(right), both = id_.find(left + right);
      if (a == id_.end() || b == id_.end() || both == id_.end()) {
        fail(ExitCode::kBadData, "{}: merge {} ('{}' '{}') speaks of tokens that are not in the vocabulary", origin, rank, left, right);
      }
      merges_.emplace(pair(a->second, b->second), Merge{static_cast<std::int32_t>(rank), both->second});
    }
    std::string all = fmt::format("{}|{}|", spec_.ignore_merges, spec_.merges.size());
    for (const SplitRule rule : spec_.rules) all += std::to_string(static_cast<int>(rule)) + ",";
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) all += spec_.tokens[id] + (special_[id] ? "\x01" : "\x02");
    for (const auto& [left, right] : spec_.merges) all += left + " " + right + "\n";
    hash_ = sha256_hex(all);
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    cut(decode_utf8(text), 0, ids);
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id >= 0 && static_cast<std::size_t>(id) < bytes_.size()) text += bytes_[static_cast<std::size_t>(id)];
    }
    return text;
  }

  std::int32_t size() const override { return static_cast<std::int32_t>(spec_.tokens.size()); }
  std::optional<std::int32_t> bos() const override { return spec_.bos; }
  std::optional<std::int32_t> eos() const override { return spec_.eos; }
  std::optional<std::int32_t> find_special(std::string_view token) const override {
    for (const std::int32_t id : spec_.special) {
      if (spec_.tokens[static_cast<std::size_t>(id)] == token) return id;
    }
    return std::nullopt;
  }
  std::string hash() const override { return hash_; }

 private:
  struct Merge {
    std::int32_t rank, result;
  };
  static std::uint64_t pair(std::int32_t a, std::int32_t b) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32) | static_cast<std::uint32_t>(b);
  }

  void cut(std::u32string_view text, std::size_t rule, std::vector<std::int32_t>& ids) const {
    if (rule < spec_.rules.size()) {
      split_words(spec_.rules[rule], text, [&](std::u32string_view word) { cut(word, rule + 1, ids); });
      return;
    }
    std::string bytes;
    for (const char32_t c : text) append_utf8(bytes, c);
    merge_word(bytes, ids);
  }

  /// Merges the word's bytes, lowest rank first, leftmost among equals: a heap of candidate pairs over a linked list, O(n log n).
  void merge_word(const std::string& bytes, std::vector<std::int32_t>& ids) const {
    if (spec_.ignore_merges) {
      if (const auto found = whole_.find(bytes); found != whole_.end()) {
        ids.push_back(found->second);
        return;
      }
    }
    struct Symbol {
      std::int32_t id, previous, next;
    };
    struct Candidate {
      std::int32_t rank, at, left, right;
      bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    std::vector<Symbol> symbols;
    for (const char c : bytes) {
      const std::int32_t id = byte_id_[static_cast<std::uint8_t>(c)];
      if (id < 0) continue;  // a vocabulary without this byte cannot say it
      const auto at = static_cast<std::int32_t>(symbols.size());
      symbols.push_back({id, at - 1, at + 1});
    }
    if (symbols.empty()) return;
    symbols.back().next = -1;
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto offer = [&](std::int32_t at) {
      if (at < 0 || symbols[static_cast<std::size_t>(at)].next < 0) return;
      const Symbol& left = symbols[static_cast<std::size_t>(at)];
      const std::int32_t right = symbols[static_cast<std::size_t>(left.next)].id;
      if (const auto found = merges_.find(pair(left.id, right)); found != merges_.end()) queue.push({found->second.rank, at, left.id, right});
    };
    for (std::int32_t at = 0; at < static_cast<std::int32_t>(symbols.size()); ++at) offer(at);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      Symbol& left = symbols[static_cast<std::size_t>(best.at)];
      if (left.id != best.left || left.next < 0 || symbols[static_cast<std::size_t>(left.next)].id != best.right) continue;  // out of date
      Symbol& right = symbols[static_cast<std::size_t>(left.next)];
      left.id = merges_.at(pair(best.left, best.right)).result;
      left.next = right.next;
      right.id = -1;
      if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = best.at;
      offer(left.previous);
      offer(best.at);
    }
    for (std::int32_t at = 0; at >= 0; at = symbols[static_cast<std::size_t>(at)].next) ids.push_back(symbols[static_cast<std::size_t>(at)].id);
  }

  ByteBpeSpec spec_;
  std::vector<bool> special_;
  std::vector<std::string> bytes_;  // by id; empty for special tokens
  std::unordered_map<std::string, std::int32_t> id_, whole_;
  std::array<std::int32_t, 256> byte_id_{};
  std::unordered_map<std::uint64_t, Merge, PairHash> merges_;
  std::string hash_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec, const std::string& origin) {
  const auto in_range = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < spec.tokens.size(); };
  for (const std::int32_t id : spec.special) {
    if (!in_range(id)) fail(ExitCode::kBadData, "{}: special token {} is outside the {} tokens", origin, id, spec.tokens.size());
  }
  for (const auto& id : {spec.bos, spec.eos}) {
    if (id && !in_range(*id)) fail(ExitCode::kBadData, "{}: BOS or EOS token {} is outside the {} tokens", origin, *id, spec.tokens.size());
  }
  return std::make_unique<ByteBpe>(std::move(spec), origin);
}

}  // namespace thinkrec
