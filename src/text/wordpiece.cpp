#include "text/wordpiece.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "io/file.h"
#include "text/bert_tables.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

class WordPiece final : public Tokenizer {
 public:
  WordPiece(WordPieceSpec spec, const std::string& origin) : spec_(std::move(spec)) {
    std::string all = fmt::format("wordpiece 1 {} {} {} {}{}{}{} ", spec_.unknown, spec_.prefix, spec_.longest_word, spec_.clean,
                                  spec_.chinese, spec_.strip_accents, spec_.lower_case);
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      const std::string& token = spec_.tokens[id];
      all += token + "\n";
      if (token.empty()) continue;
      longest_token_ = std::max(longest_token_, token.size());
      if (!ids_.emplace(token, static_cast<std::int32_t>(id)).second)
        fail(ExitCode::kBadData, "{}: the token {} is there twice", origin, in_quotes(token));
    }
    const auto unknown = ids_.find(spec_.unknown);
    if (unknown == ids_.end()) {
      fail(ExitCode::kBadData, "{}: there is no token {}, which unknown words become", origin, in_quotes(spec_.unknown));
    }
    unknown_ = unknown->second;
    std::sort(spec_.special.begin(), spec_.special.end());
    for (const std::int32_t id : spec_.special) {
      special_.emplace(spec_.tokens[static_cast<std::size_t>(id)], id);
      ids_.erase(spec_.tokens[static_cast<std::size_t>(id)]);
      all += fmt::format("{} ", id);
    }
    hash_ = sha256_hex(all);
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    std::u32string word;
    const auto end_word = [&] {
      if (!word.empty()) add_word(word, ids);
      word.clear();
    };
    for (const char32_t c : normalized(text)) {
      if (is_bert_space(c)) {
        end_word();
      } else if (is_bert_punctuation(c)) {
        end_word();
        word = c;
        end_word();
      } else {
        word += c;
      }
    }
    end_word();
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= size() || is_special(id)) continue;
      const std::string& token = spec_.tokens[static_cast<std::size_t>(id)];
      if (!text.empty() && token.starts_with(spec_.prefix)) {
        text += token.substr(spec_.prefix.size());
      } else {
        text += (text.empty() ? "" : " ") + token;
      }
    }
    return text;
  }

  std::int32_t size() const override { return static_cast<std::int32_t>(spec_.tokens.size()); }
  std::optional<std::int32_t> bos() const override { return std::nullopt; }
  std::optional<std::int32_t> eos() const override { return std::nullopt; }
  std::optional<std::int32_t> find_special(std::string_view token) const override {
    const auto found = special_.find(token);
    return found == special_.end() ? std::nullopt : std::optional<std::int32_t>(found->second);
  }
  std::string hash() const override { return hash_; }

 private:
  bool is_special(std::int32_t id) const { return std::binary_search(spec_.special.begin(), spec_.special.end(), id); }

  /// The package's steps, in its order: clean, spaces around CJK, accents off, lower case.
  std::u32string normalized(std::string_view text) const {
    std::u32string cleaned;
    for (const char32_t c : decode_utf8(text)) {
      if (spec_.clean && is_bert_removed(c)) continue;
      const bool apart = spec_.chinese && is_bert_chinese(c);
      if (apart) cleaned += U' ';
      cleaned += c;
      if (apart) cleaned += U' ';
    }
    if (spec_.strip_accents) cleaned = without_accents(cleaned);
    if (!spec_.lower_case) return cleaned;
    std::u32string lower;
    for (const char32_t c : cleaned) {
      lower += bert_lower_case(c);
      if (c == U'\u0130') lower += U'\u0307';
    }
    return lower;
  }

  static std::u32string without_accents(const std::u32string& text) {
    std::u32string out;
    for (const char32_t c : text) append_bert_base(out, c);
    // What NFD leaves in canonical order: runs of marks, by class.
    for (auto begin = out.begin(); begin != out.end();) {
      const auto end = std::find_if(begin, out.end(), [](char32_t c) { return combining_class(c) == 0; });
      std::stable_sort(begin, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
      begin = end == out.end() ? end : end + 1;
    }
    std::erase_if(out, is_bert_accent);
    return out;
  }

  /// Longest match first; the whole word is unknown where a part of it is.
  void add_word(const std::u32string& word, std::vector<std::int32_t>& ids) const {
    if (word.size() > static_cast<std::size_t>(spec_.longest_word)) {
      ids.push_back(unknown_);
      return;
    }
    const std::size_t before = ids.size();
    std::string part = encode_utf8(word);
    std::size_t begin = 0;  // in `part`, behind the prefix that its rest has been given
    while (begin < part.size()) {
      std::size_t end = std::min(part.size(), longest_token_);
      const auto at_character = [&](std::size_t i) { return i == part.size() || (part[i] & 0xc0) != 0x80; };
      auto found = ids_.end();
      for (; end > begin; --end) {
        if (!at_character(end)) continue;
        found = ids_.find(std::string_view(part).substr(0, end));
        if (found != ids_.end()) break;
      }
      if (found == ids_.end()) {
        ids.resize(before);
        ids.push_back(unknown_);
        return;
      }
      ids.push_back(found->second);
      part = spec_.prefix + part.substr(end);
      begin = spec_.prefix.size();
    }
  }

  WordPieceSpec spec_;
  std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>> ids_, special_;  // those that encode makes; the others
  std::size_t longest_token_ = 0;                                                           // bytes
  std::int32_t unknown_ = 0;
  std::string hash_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_wordpiece(WordPieceSpec spec, const std::string& origin) {
  return std::make_unique<WordPiece>(std::move(spec), origin);
}

}  // namespace thinkrec
