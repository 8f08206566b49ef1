#include "train/references.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "data/sampler.h"
#include "eval/text_metrics.h"
#include "io/file.h"
#include "io/json_lines.h"
#include "model/generate.h"
#include "report/progress.h"
#include "text/unicode.h"
#include "train/synthesis.h"

namespace thinkrec {
namespace {

constexpr std::uint64_t kStream = 13;     // of the seed: no other choice of rows uses it
constexpr std::size_t kFewestTokens = 5;  // of a reference; "Yes. Because" has three

std::vector<Turn> revealed_turns(const Dataset& dataset, std::int64_t row, std::int64_t history) {
  const auto item_of = [&](std::int64_t at) -> const Item& {
    return dataset.items[static_cast<std::size_t>(dataset.item[static_cast<std::size_t>(at)])];
  };
  const auto named = [](const Item& item) {
    return fmt::format("\"{}\"{}", item.title, item.keywords.empty() ? "" : " (" + item.keywords + ")");
  };
  std::string rated;
  for (std::int64_t i = dataset.history_begin(row, history); i < row; ++i) {
    rated += fmt::format("{}{}, {}", rated.empty() ? "" : "; ", named(item_of(i)),
                         dataset.label[static_cast<std::size_t>(i)] != 0 ? "liked" : "disliked");
  }
  const bool liked = dataset.label[static_cast<std::size_t>(row)] != 0;
  return {
      {"system", fmt::format("You are a helpful {} recommender. You explain in two sentences why a user likes or dislikes a {}.",
                             dataset.noun.singular, dataset.noun.singular)},
      {"user", fmt::format("A user has given ratings to the following {}: {}. Would the user enjoy the {} titled {}? The correct "
                           "answer is {}. Explain it from the user's history.",
                           dataset.noun.plural, rated, dataset.noun.singular, named(item_of(row)), liked ? "Yes" : "No")}};
}

}  // namespace

std::vector<std::int64_t> rows_with_history(const Dataset& dataset, Split split, std::int64_t history, std::int64_t count,
                                            std::uint64_t seed) {
  const auto& rows = dataset.rows(split);
  const auto size = static_cast<std::int64_t>(rows.size());
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < size && static_cast<std::int64_t>(chosen.size()) < count; ++i) {
    const std::int64_t row = rows[static_cast<std::size_t>(permuted(i, size, seed, kStream, 0))];
    const auto user = static_cast<std::size_t>(dataset.user[static_cast<std::size_t>(row)]);
    if (row - dataset.user_begin[user] >= history) chosen.push_back(row);
  }
  return chosen;
}

std::vector<ReferenceReason> self_references(const Session& session, std::span<const std::int64_t> rows,
                                             std::int64_t max_new_tokens) {
  constexpr std::size_t kBatch = 8;
  const at::NoGradGuard no_grad;
  const Dataset& dataset = session.dataset();
  const Tokenizer& tokenizer = session.tokenizer();
  const std::string source = fmt::format("self-reference ({}, told the answer)",
                                         std::filesystem::path(session.recipe().text("model.path")).filename().string());
  std::vector<ReferenceReason> references;
  Progress progress("references", static_cast<std::int64_t>(rows.size()), session.leader());
  GenerateConfig config;
  config.max_new_tokens = max_new_tokens;
  config.eos = tokenizer.eos();
  config.stop = chat_stops(tokenizer);
  config.no_repeat_ngram = 4;
  for (std::size_t begin = 0; begin < rows.size(); begin += kBatch) {
    const auto batch = rows.subspan(begin, std::min(kBatch, rows.size() - begin));
    PackedBatch prompts;
    std::vector<std::string> openings;  // put into the model's mouth: small models else give the verdict and end
    for (const std::int64_t row : batch) {
      openings.emplace_back(dataset.label[static_cast<std::size_t>(row)] != 0 ? "Yes, because" : "No, because");
      std::vector<std::int32_t> tokens =
          chat_tokens(tokenizer, revealed_turns(dataset, row, session.recipe().integer("prompt.history")));
      const std::vector<std::int32_t> opening = tokenizer.encode(openings.back());
      tokens.insert(tokens.end(), opening.begin(), opening.end());
      prompts.add(tokens, static_cast<std::uint64_t>(row));
    }
    const auto replies = generate(session.model(), nullptr, prompts, {}, config);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::string reply = one_line(tokenizer.decode(replies[i]));
      const std::string text = clean_reason(openings[i] + reply, dataset.label[static_cast<std::size_t>(batch[i])] != 0);
      if (metric_tokens(text).size() >= kFewestTokens) references.push_back({batch[i], text, source});
    }
    progress.update(static_cast<std::int64_t>(begin + batch.size()), "asked");
  }
  std::sort(references.begin(), references.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
  return references;
}

std::vector<ReferenceReason> read_references(const std::string& path, const Dataset& dataset, Split split) {
  const auto& rows = dataset.rows(split);
  const std::set<std::int64_t> known(rows.begin(), rows.end());
  std::set<std::int64_t> seen;
  std::vector<ReferenceReason> references;
  JsonLines lines(path, {"row", "reference", "source"});
  while (lines.next()) {
    ReferenceReason reference{lines.integer(0), lines.text(1), lines.text(2)};
    if (!known.contains(reference.row)) {
      fail(ExitCode::kBadData, "{}: row {} is not of the split '{}' of the data set '{}'", lines.place(), reference.row,
           kSplitNames[static_cast<std::size_t>(split)], dataset.name);
    }
    if (!seen.insert(reference.row).second) fail(ExitCode::kBadData, "{}: row {} is there twice", lines.place(), reference.row);
    if (reference.text.empty()) fail(ExitCode::kBadData, "{}: the reference of row {} is empty", lines.place(), reference.row);
    references.push_back(std::move(reference));
  }
  if (references.empty()) {
    fail(ExitCode::kBadData,
         "{}: no reference in it; a line is {{\"row\": 17, \"reference\": \"Yes. ...\", \"source\": \"...\"}}", path);
  }
  return references;
}

void write_references(const std::string& path, std::span<const ReferenceReason> references) {
  std::string lines;
  for (const ReferenceReason& reference : references) {
    const nlohmann::ordered_json line = {{"row", reference.row}, {"reference", reference.text}, {"source", reference.source}};
    lines += line.dump() + "\n";
  }
  write_file_atomic(path, lines);
}

}  // namespace thinkrec
