#include "eval/text_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <unordered_map>

#include "text/unicode.h"

namespace thinkrec {
namespace {

using Ids = std::u32string;  ///< a number for each token, so that an n-gram is a view

/// Both lists with the same numbers for the same tokens.
std::pair<Ids, Ids> numbered(TokenSpan a, TokenSpan b) {
  std::unordered_map<std::string_view, char32_t> ids;
  const auto of = [&](TokenSpan tokens) {
    Ids out;
    for (const std::string& token : tokens) out += ids.emplace(token, static_cast<char32_t>(ids.size())).first->second;
    return out;
  };
  Ids first = of(a);
  return {std::move(first), of(b)};
}

std::unordered_map<std::u32string_view, std::int64_t> ngrams(const Ids& ids, std::size_t n) {
  std::unordered_map<std::u32string_view, std::int64_t> counts;
  for (std::size_t i = 0; i + n <= ids.size(); ++i) ++counts[std::u32string_view(ids).substr(i, n)];
  return counts;
}

}  // namespace

Tokens metric_tokens(std::string_view text) {
  enum class Kind { kSpace, kWord, kOther };
  Tokens tokens;
  Kind before = Kind::kSpace;
  for (const char32_t c : decode_utf8(text)) {
    const Kind kind = is_space(c) ? Kind::kSpace : is_letter(c) || is_number(c) || c == U'_' ? Kind::kWord : Kind::kOther;
    if (kind != Kind::kSpace && kind != before) tokens.emplace_back();
    if (kind != Kind::kSpace) append_utf8(tokens.back(), lower_case(c));
    before = kind;
  }
  return tokens;
}

double bleu4(TokenSpan reference, TokenSpan candidate) {
  constexpr std::size_t kOrders = 4;
  constexpr double kEpsilon = 0.1;
  const auto [expected, given] = numbered(reference, candidate);
  double log_precision = 0;
  for (std::size_t n = 1; n <= kOrders; ++n) {
    const auto there = ngrams(expected, n);
    std::int64_t matched = 0, all = 0;
    for (const auto& [ngram, count] : ngrams(given, n)) {
      all += count;
      if (const auto found = there.find(ngram); found != there.end()) matched += std::min(count, found->second);
    }
    if (n == 1 && matched == 0) return 0;
    const double numerator = matched == 0 ? kEpsilon : static_cast<double>(matched);
    log_precision += std::log(numerator / static_cast<double>(std::max<std::int64_t>(all, 1)));
  }
  const double ratio = static_cast<double>(expected.size()) / static_cast<double>(given.size());
  return std::exp(std::min(0.0, 1 - ratio) + log_precision / kOrders);
}

double rouge_l(TokenSpan reference, TokenSpan candidate) {
  const auto [rows, columns] = numbered(reference, candidate);
  std::vector<std::int32_t> longest(columns.size() + 1);  // of the rows so far and the first columns
  for (const char32_t token : rows) {
    std::int32_t diagonal = 0;
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const std::int32_t above = longest[j + 1];
      longest[j + 1] = columns[j] == token ? diagonal + 1 : std::max(above, longest[j]);
      diagonal = above;
    }
  }
  // 2 P R / (P + R) with P = common / candidate and R = common / reference.
  return longest.back() == 0 ? 0 : 2.0 * longest.back() / static_cast<double>(rows.size() + columns.size());
}

}  // namespace thinkrec
