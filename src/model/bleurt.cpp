#include "model/bleurt.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <numeric>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kMostTokens = 512;         // of a pair
constexpr std::int64_t kMostPackedTokens = 4096;  // of the pairs that go through the model at once

std::unique_ptr<Tokenizer> load_tokenizer_of(const std::string& folder) {
  const auto pieces = std::filesystem::path(folder) / "sentencepiece.model";
  std::error_code error;
  return load_tokenizer(std::filesystem::exists(pieces, error) ? pieces.string() : folder);
}

/// The id of a special token: the tokenizer's, else what config.json says of it.
std::int32_t special_id(const Tokenizer& tokenizer, const char* name, std::int64_t configured, const std::string& folder) {
  if (const auto id = tokenizer.find_special(name)) return *id;
  if (configured < 0 || configured >= tokenizer.size())
    fail(ExitCode::kBadData, "{}: the tokenizer has no special token {}, and config.json names none for it", folder, name);
  return static_cast<std::int32_t>(configured);
}

}  // namespace

Bleurt::Bleurt(const std::string& folder) : model_(folder), tokenizer_(load_tokenizer_of(folder)) {
  if (tokenizer_->size() > model_.config().vocab)
    fail(ExitCode::kBadData, "{}: the tokenizer has {} tokens, the model {}", folder, tokenizer_->size(), model_.config().vocab);
  if (model_.config().types < 2) fail(ExitCode::kBadData, "{}: the model tells no pairs apart (type_vocab_size is 1)", folder);
  if (model_.config().max_positions < 4) fail(ExitCode::kBadData, "{}: no pair fits into max_position_embeddings", folder);
  cls_ = special_id(*tokenizer_, "[CLS]", model_.config().cls, folder);
  sep_ = special_id(*tokenizer_, "[SEP]", model_.config().sep, folder);
}

BertRow Bleurt::encode(const std::string& reference, const std::string& candidate) const {
  std::vector<std::int32_t> first = tokenizer_->encode(reference), second = tokenizer_->encode(candidate);
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(kMostTokens, model_.config().max_positions) - 3));
  while (first.size() + second.size() > most) (first.size() > second.size() ? first : second).pop_back();
  BertRow row;
  row.token.push_back(cls_);
  row.token.insert(row.token.end(), first.begin(), first.end());
  row.token.push_back(sep_);
  row.second = static_cast<std::int64_t>(row.token.size());
  row.token.insert(row.token.end(), second.begin(), second.end());
  row.token.push_back(sep_);
  return row;
}

std::vector<double> Bleurt::score(std::span<const std::string> references, std::span<const std::string> candidates) const {
  THINKREC_CHECK(references.size() == candidates.size());
  std::vector<double> scores(references.size());
  std::vector<BertRow> rows;
  std::size_t first = 0;  // of `rows`
  std::int64_t tokens = 0;
  const auto flush = [&](std::size_t end) {
    if (rows.empty()) return;
    const at::Tensor values = model_.regression(rows);
    for (std::size_t i = first; i < end; ++i) scores[i] = values[static_cast<std::int64_t>(i - first)].item<double>();
    rows.clear();
    first = end;
    tokens = 0;
  };
  for (std::size_t i = 0; i < references.size(); ++i) {
    BertRow row = encode(references[i], candidates[i]);
    const auto length = static_cast<std::int64_t>(row.token.size());
    if (tokens + length > kMostPackedTokens) flush(i);
    tokens += length;
    rows.push_back(std::move(row));
  }
  flush(references.size());
  return scores;
}

}  // namespace thinkrec
