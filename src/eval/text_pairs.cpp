#include "eval/text_pairs.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "eval/text_metrics.h"
#include "io/csv.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr TextMetric kMetrics[] = {{"meteor", "METEOR", &TextScores::meteor},
                                   {"bleu4", "BLEU-4", &TextScores::bleu4},
                                   {"rouge_l", "ROUGE-L", &TextScores::rouge_l},
                                   {"bleurt", "BLEURT", &TextScores::bleurt}};

/// The pair of one line; `place` is file:line.
Json parse_pair(const std::string& line, const std::string& place) {
  constexpr int kDeepest = 64;
  std::set<std::string> keys;  // of the outermost object
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth >= kDeepest)
      fail(ExitCode::kBadData, "{}: nested deeper than {} levels", place, kDeepest);
    if (event == Event::key && depth == 1 && !keys.insert(parsed.get<std::string>()).second)
      fail(ExitCode::kBadData, "{}: the key {} is there twice", place, in_quotes(parsed.get<std::string>()));
    return true;
  };
  Json pair;
  try {
    pair = Json::parse(line, watch);
  } catch (const Json::parse_error& error) {
    fail(ExitCode::kBadData, "{}: not valid JSON at byte {}", place, error.byte);
  } catch (const Json::exception& error) {  // a number too large for a double, and the like
    fail(ExitCode::kBadData, "{}: not valid JSON: {}", place, in_quotes(error.what()));
  }
  if (!pair.is_object()) fail(ExitCode::kBadData, "{}: not a JSON object with 'reference' and 'candidate'", place);
  return pair;
}

const std::string& text_of(const Json& pair, const char* key, const std::string& place) {
  constexpr std::size_t kMost = 16384;  // ROUGE-L takes the product of both
  const auto found = pair.find(key);
  if (found == pair.end() || !found->is_string()) {
    fail(ExitCode::kBadData, "{}: '{}' {}; a line is {{\"reference\": \"...\", \"candidate\": \"...\"}}", place, key,
         found == pair.end() ? "is missing" : "is not a text");
  }
  const auto& text = found->get_ref<const std::string&>();
  if (const std::size_t tokens = metric_tokens(text).size(); tokens > kMost)
    fail(ExitCode::kBadData, "{}: '{}' has {} tokens, more than {}", place, key, tokens, kMost);
  return text;
}

}  // namespace

std::span<const TextMetric> text_metrics(bool bleurt) {
  return std::span<const TextMetric>(kMetrics).first(std::size(kMetrics) - (bleurt ? 0 : 1));
}

TextPairs read_text_pairs(const std::string& path) {
  TextPairs pairs;
  LineReader lines(path);
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string place = fmt::format("{}:{}", path, lines.line_number());
    const Json pair = parse_pair(line, place);
    pairs.reference.push_back(text_of(pair, "reference", place));
    pairs.candidate.push_back(text_of(pair, "candidate", place));
  }
  if (pairs.reference.empty())
    fail(ExitCode::kBadData, "{}: no pair in it; a line is {{\"reference\": \"...\", \"candidate\": \"...\"}}", path);
  return pairs;
}

TextEvaluation score_texts(const TextPairs& texts, const WordNet& wordnet, const LearntMetric& bleurt) {
  THINKREC_CHECK(!texts.reference.empty() && texts.reference.size() == texts.candidate.size());
  TextEvaluation result{};
  result.bleurt = static_cast<bool>(bleurt);
  for (std::size_t i = 0; i < texts.reference.size(); ++i) {
    const Tokens reference = metric_tokens(texts.reference[i]), candidate = metric_tokens(texts.candidate[i]);
    result.pairs.push_back({meteor(reference, candidate, wordnet), bleu4(reference, candidate), rouge_l(reference, candidate)});
    result.reference_tokens += static_cast<double>(reference.size());
    result.candidate_tokens += static_cast<double>(candidate.size());
  }
  if (bleurt) {
    const std::vector<double> scores = bleurt(texts);
    THINKREC_CHECK(scores.size() == result.pairs.size(), "{} scores", scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) result.pairs[i].bleurt = scores[i];
    result.mean.bleurt = 0;
  }
  const auto pairs = static_cast<double>(result.pairs.size());
  result.reference_tokens /= pairs;
  result.candidate_tokens /= pairs;
  for (const TextMetric& metric : text_metrics(result.bleurt)) {
    for (const TextScores& scores : result.pairs) result.mean.*metric.value += scores.*metric.value;
    result.mean.*metric.value /= pairs;
  }
  return result;
}

std::string TextEvaluation::table() const {
  std::string text = fmt::format("{} pairs, mean tokens: {:.1f} in references, {:.1f} in candidates\n", pairs.size(),
                                 reference_tokens, candidate_tokens);
  for (const TextMetric& metric : text_metrics(bleurt)) text += fmt::format("  {:<8} {:.4f}\n", metric.name, mean.*metric.value);
  return text + (bleurt ? "" : "  BLEURT   left out: no checkpoint (--bleurt)\n");
}

Json TextEvaluation::json() const {
  const auto of = [&](const TextScores& scores) {
    Json object;
    for (const TextMetric& metric : text_metrics(bleurt)) object[metric.key] = scores.*metric.value;
    return object;
  };
  Json all = Json::array();
  for (const TextScores& scores : pairs) all.push_back(of(scores));
  Json json = {{"pairs", pairs.size()},
               {"tokens", {{"reference", reference_tokens}, {"candidate", candidate_tokens}}},
               {"mean", of(mean)},
               {"scores", std::move(all)}};
  if (!bleurt) json["left_out"] = {"bleurt"};
  return json;
}

}  // namespace thinkrec
