// sentencepiece models, through the library.

#include <sentencepiece_processor.h>

#include "core/error.h"
#include "io/file.h"
#include "text/sentencepiece_model.h"
#include "text/sources.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

class SentencePiece final : public Tokenizer {
 public:
  SentencePiece(const std::string& path, const TokenizerConfig& config) {
    const std::string bytes = read_file(path, std::uint64_t{64} << 20);
    if (const auto status = processor_.LoadFromSerializedProto(bytes); !status.ok()) {
      fail(ExitCode::kBadData, "{}: not a sentencepiece model, or damaged ({})", path, in_quotes(status.ToString()));
    }
    if (config.add_bos_token.value_or(true)) bos_ = known(processor_.bos_id());
    eos_ = known(processor_.eos_id());
    if (config.eos_token) {
      const int id = processor_.PieceToId(*config.eos_token);
      if (id < 0 || processor_.IdToPiece(id) != *config.eos_token) {
        fail(ExitCode::kBadData, "{}: the model has no token {}, which tokenizer_config.json names as EOS", path,
             in_quotes(*config.eos_token));
      }
      eos_ = id;
    }
    seam_cuts_ = find_seam_cuts(read_sentencepiece_settings(bytes));
    hash_ = sha256_hex(fmt::format("sentencepiece 1 {} {} ", bos_.value_or(-1), eos_.value_or(-1)) + bytes);
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    // The library makes one U+FFFD of each invalid byte; here it is one of each invalid sequence, as for other tokenizers.
    const std::string valid = encode_utf8(decode_utf8(text));
    std::vector<int> ids;
    const auto status = processor_.Encode(valid, &ids);
    if (!status.ok())
      fail(ExitCode::kInternal, "sentencepiece cannot encode a text of {} bytes: {}", text.size(), status.ToString());
    return {ids.begin(), ids.end()};
  }

  SeamCuts seam_cuts() const override { return seam_cuts_; }

  std::vector<std::int32_t> encode_behind(std::string_view text) const override {
    // Alone, the text would be given a space of the library's own; behind a letter it keeps the one it has.
    std::vector<std::int32_t> ids = encode("a" + std::string(text));
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(letter_tokens_));
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::vector<int> plain;
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < processor_.GetPieceSize() && !processor_.IsControl(id) && !processor_.IsUnknown(id))
        plain.push_back(id);
    }
    std::string text;
    const auto status = processor_.Decode(plain, &text);
    if (!status.ok()) fail(ExitCode::kInternal, "sentencepiece cannot decode {} tokens: {}", ids.size(), status.ToString());
    return text;
  }

  std::int32_t size() const override { return processor_.GetPieceSize(); }
  std::optional<std::int32_t> bos() const override { return bos_; }
  std::optional<std::int32_t> eos() const override { return eos_; }
  std::optional<std::int32_t> find_special(std::string_view token) const override {
    const int id =
        processor_.PieceToId({token.data(), token.size()});  // of an unknown piece: the id of the token for unknown ones
    const bool special = id >= 0 && id < size() && (processor_.IsControl(id) || processor_.IsUnknown(id));
    return special && processor_.IdToPiece(id) == token ? std::optional<std::int32_t>(id) : std::nullopt;
  }
  std::string hash() const override { return hash_; }

 private:
  /// Merges of BPE are local: where no piece holds a space behind another character, none crosses a seam. The best path of a
  /// unigram model is found by sums of floats that begin at the text's front, so that near ties may fall otherwise; and what a
  /// table of normalisation joins is not known here.
  SeamCuts find_seam_cuts(const SentencePieceSettings& settings) {
    if (settings.type != SentencePieceSettings::kBpe || settings.normalises || settings.space_behind) return SeamCuts::kNone;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
      bool character = false;
      for (const char32_t c : decode_utf8(processor_.IdToPiece(id))) {
        const bool space = c == U' ' || c == U'\u2581';
        if (space && character) return SeamCuts::kNone;
        character = character || !space;
      }
    }
    letter_tokens_ = encode("a").size();
    return SeamCuts::kBehind;
  }

  static std::optional<std::int32_t> known(int id) { return id >= 0 ? std::optional<std::int32_t>(id) : std::nullopt; }

  sentencepiece::SentencePieceProcessor processor_;
  std::optional<std::int32_t> bos_, eos_;
  SeamCuts seam_cuts_ = SeamCuts::kNone;
  std::size_t letter_tokens_ = 0;  // of "a" at the front of a text
  std::string hash_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path, const TokenizerConfig& config) {
  return std::make_unique<SentencePiece>(path, config);
}

}  // namespace thinkrec
