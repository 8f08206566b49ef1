#include "text/byte_bpe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "io/file.h"
#include "text/byte_alphabet.h"
#include "text/merge_table.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

enum class TokenKind : char { kOrdinary = 'o', kControl = 'c', kAdded = 'a', kNone = '-' };

struct TextHash {  // lets the maps below be searched by string_view
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using IdOfText = std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>>;

std::vector<TokenKind> kinds_of(const ByteBpeSpec& spec, const std::string& origin) {
  std::vector<TokenKind> kinds(spec.tokens.size(), TokenKind::kOrdinary);
  for (std::size_t id = 0; id < kinds.size(); ++id) {
    if (spec.tokens[id].empty()) kinds[id] = TokenKind::kNone;
  }
  const auto mark = [&](const std::vector<std::int32_t>& ids, TokenKind kind) {
    for (const std::int32_t id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= kinds.size()) {
        fail(ExitCode::kBadData, "{}: special token {} is outside the {} tokens", origin, id, kinds.size());
      }
      TokenKind& held = kinds[static_cast<std::size_t>(id)];
      if (held == TokenKind::kNone) fail(ExitCode::kBadData, "{}: special token {} has no text", origin, id);
      if (held != TokenKind::kOrdinary) fail(ExitCode::kBadData, "{}: special token {} is there twice", origin, id);
      held = kind;
    }
  };
  mark(spec.control, TokenKind::kControl);
  mark(spec.added, TokenKind::kAdded);
  return kinds;
}

class ByteBpe final : public Tokenizer {
 public:
  ByteBpe(ByteBpeSpec spec, const std::string& origin)
      : size_(static_cast<std::int32_t>(spec.tokens.size())),
        rules_(std::move(spec.rules)),
        ignore_merges_(spec.ignore_merges),
        bos_(spec.bos),
        eos_(spec.eos) {
    for (const auto& id : {bos_, eos_}) {
      if (id && (*id < 0 || *id >= size_))
        fail(ExitCode::kBadData, "{}: BOS or EOS token {} is outside the {} tokens", origin, *id, size_);
    }
    const std::vector<TokenKind> kinds = kinds_of(spec, origin);
    read_tokens(spec, kinds, origin);
    read_merges(spec, kinds, origin);
    hash_ = hash_of(spec, kinds);
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    constexpr std::size_t kLongest = std::numeric_limits<std::int32_t>::max() / 4;  // bytes; positions are int32, U+FFFD takes 3
    if (text.size() > kLongest)
      fail(ExitCode::kBadData, "a text of {} bytes is too long to encode: at most {}", text.size(), kLongest);
    std::vector<std::int32_t> ids;
    MergeScratch scratch;
    cut(decode_utf8(text), 0, scratch, ids);
    return ids;
  }

  /// No word of the regular expressions holds a space behind a character that is none, none looks back, and what they look ahead
  /// for (more white space, the letters of a contraction) a seam is not. Merges stay inside words.
  SeamCuts seam_cuts() const override {
    const bool words = std::any_of(rules_.begin(), rules_.end(), [](SplitRule rule) { return rule != SplitRule::kDigits; });
    return words ? SeamCuts::kAnywhere : SeamCuts::kNone;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < size_) text += bytes_[static_cast<std::size_t>(id)];
    }
    return text;
  }

  std::int32_t size() const override { return size_; }
  std::optional<std::int32_t> bos() const override { return bos_; }
  std::optional<std::int32_t> eos() const override { return eos_; }
  std::optional<std::int32_t> find_special(std::string_view token) const override {
    const auto found = special_.find(token);
    return found == special_.end() ? std::nullopt : std::optional(found->second);
  }
  std::string hash() const override { return hash_; }

 private:
  void read_tokens(const ByteBpeSpec& spec, const std::vector<TokenKind>& kinds, const std::string& origin) {
    bytes_.resize(kinds.size());
    id_.reserve(kinds.size());
    byte_id_.fill(-1);
    for (std::size_t at = 0; at < kinds.size(); ++at) {
      if (kinds[at] == TokenKind::kNone) continue;
      const std::string& token = spec.tokens[at];
      const auto id = static_cast<std::int32_t>(at);
      const auto [held, is_new] = id_.emplace(token, id);
      if (!is_new)
        fail(ExitCode::kBadData, "{}: token {} is there twice, as {} and as {}", origin, in_quotes(token), held->second, id);
      if (kinds[at] == TokenKind::kAdded) bytes_[at] = token;
      if (kinds[at] != TokenKind::kOrdinary) {
        special_.emplace(token, id);
        continue;
      }
      auto bytes = bytes_of_token(token);
      if (!bytes)
        fail(ExitCode::kBadData, "{}: token {} ({}) is not in the byte alphabet of byte-level BPE", origin, id, in_quotes(token));
      bytes_[at] = std::move(*bytes);
      if (bytes_[at].size() == 1) byte_id_[static_cast<unsigned char>(bytes_[at][0])] = id;
      if (ignore_merges_) whole_.emplace(bytes_[at], id);
    }
    for (const std::int32_t id : spec.named) {
      THINKREC_CHECK(id >= 0 && id < size_, "named token {}", id);
      special_.emplace(spec.tokens[static_cast<std::size_t>(id)], id);
    }
  }

  void read_merges(const ByteBpeSpec& spec, const std::vector<TokenKind>& kinds, const std::string& origin) {
    for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
      const auto& [left, right] = spec.merges[rank];
      const auto id = [&](const std::string& token) {
        const auto found = id_.find(token);
        if (found == id_.end() || kinds[static_cast<std::size_t>(found->second)] == TokenKind::kControl) {
          fail(ExitCode::kBadData, "{}: merge {} ({} and {}): there is no ordinary token {}", origin, rank, in_quotes(left),
               in_quotes(right), in_quotes(token));
        }
        return found->second;
      };
      const std::int32_t a = id(left), b = id(right);  // the first token that is missing is the one named
      merges_.set(a, b, {static_cast<std::int32_t>(rank), id(left + right)});
    }
  }

  /// Every field with its length, so that two vocabularies cannot give the same bytes.
  std::string hash_of(const ByteBpeSpec& spec, const std::vector<TokenKind>& kinds) const {
    std::string all = fmt::format("byte-bpe 1 {} {} {} ", ignore_merges_, bos_.value_or(-1), eos_.value_or(-1));
    for (const SplitRule rule : rules_) all += fmt::format("{} ", static_cast<int>(rule));
    const auto add = [&](std::string_view text) {
      all += fmt::format("{}:", text.size());
      all += text;
    };
    for (std::size_t id = 0; id < kinds.size(); ++id) {
      all += static_cast<char>(kinds[id]);
      add(spec.tokens[id]);
    }
    all += '\n';
    for (const auto& [left, right] : spec.merges) {
      add(left);
      add(right);
    }
    return sha256_hex(all);
  }

  void cut(std::u32string_view text, std::size_t rule, MergeScratch& scratch, std::vector<std::int32_t>& ids) const {
    if (rule < rules_.size()) {
      split_words(rules_[rule], text, [&](std::u32string_view piece) { cut(piece, rule + 1, scratch, ids); });
      return;
    }
    const std::string word = encode_utf8(text);
    if (ignore_merges_) {
      if (const auto found = whole_.find(word); found != whole_.end()) {
        ids.push_back(found->second);
        return;
      }
    }
    const std::size_t first = ids.size();
    for (const char c : word) {
      const std::int32_t id = byte_id_[static_cast<unsigned char>(c)];
      if (id >= 0) ids.push_back(id);
    }
    ids.resize(first + merges_.apply(std::span(ids).subspan(first), scratch));
  }

  std::int32_t size_;
  std::vector<SplitRule> rules_;
  bool ignore_merges_;
  std::optional<std::int32_t> bos_, eos_;
  std::vector<std::string> bytes_;           // by id: what decode gives
  IdOfText id_, whole_, special_;            // by token, by bytes (with ignore_merges), by token
  std::array<std::int32_t, 256> byte_id_{};  // -1 where the vocabulary lacks the byte
  MergeTable merges_;
  std::string hash_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec, const std::string& origin) {
  constexpr std::size_t kMostTokens = std::numeric_limits<std::int32_t>::max();
  if (spec.tokens.size() > kMostTokens || spec.merges.size() > kMostTokens)
    fail(ExitCode::kBadData, "{}: too many tokens or merges", origin);
  return std::make_unique<ByteBpe>(std::move(spec), origin);
}

}  // namespace thinkrec
