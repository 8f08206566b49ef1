// sentencepiece models, through the library.

#include <sentencepiece_processor.h>

#include "core/error.h"
#include "io/file.h"
#include "text/sources.h"

namespace thinkrec {
namespace {

class SentencePiece final : public Tokenizer {
 public:
  explicit SentencePiece(const std::string& path) {
    const std::string bytes = read_file(path, std::uint64_t{64} << 20);
    hash_ = sha256_hex(bytes);
    if (!processor_.LoadFromSerializedProto(bytes).ok()) fail(ExitCode::kBadData, "{}: not a sentencepiece model, or damaged", path);
  }
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<int> ids;
    if (!processor_.Encode({text.data(), text.size()}, &ids).ok()) fail(ExitCode::kInternal, "sentencepiece cannot encode a text");
    return {ids.begin(), ids.end()};
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::vector<int> plain;
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < processor_.GetPieceSize() && !processor_.IsControl(id)) plain.push_back(id);
    }
    std::string text;
    if (!processor_.Decode(plain, &text).ok()) fail(ExitCode::kInternal, "sentencepiece cannot decode tokens");
    return text;
  }
  std::int32_t size() const override { return processor_.GetPieceSize(); }
  std::optional<std::int32_t> bos() const override { return known(processor_.bos_id()); }
  std::optional<std::int32_t> eos() const override { return known(processor_.eos_id()); }
  std::optional<std::int32_t> find_special(std::string_view token) const override {
    const int id = processor_.PieceToId({token.data(), token.size()});
    return id >= 0 && processor_.IsControl(id) ? known(id) : std::nullopt;
  }
  std::string hash() const override { return hash_; }

 private:
  static std::optional<std::int32_t> known(int id) { return id >= 0 ? std::optional<std::int32_t>(id) : std::nullopt; }

  sentencepiece::SentencePieceProcessor processor_;
  std::string hash_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path) { return std::make_unique<SentencePiece>(path); }

}  // namespace thinkrec
