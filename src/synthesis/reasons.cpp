#include "synthesis/reasons.h"

#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "core/error.h"
#include "data/sampler.h"
#include "eval/score_file.h"
#include "io/file.h"
#include "io/json_lines.h"
#include "synthesis/prompts.h"

namespace thinkrec {
namespace {

constexpr const char* kWhat = "reason";

class ReasonMaker {
 public:
  ReasonMaker(Dataset& dataset, ChatBackend& backend, Journal& journal, FailureList& failures, const ReasonConfig& config)
      : dataset_(dataset), backend_(backend), journal_(journal), failures_(failures), config_(config) {
    report_.had = static_cast<std::int64_t>(dataset.reasons.size());
    report_.accepted.resize(static_cast<std::size_t>(config.turns));
    for (const Reason& reason : dataset.reasons) have_.insert(reason.row);
    by_ = sha256_hex(fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}{}", kOpeningRules, backend.model(), backend.settings(),
                                 config.history, config.max_tokens, config.turns, config.bounds.min_words,
                                 config.bounds.max_words, config.thinking, config.reveal ? " revealed" : ""))
              .substr(0, 16);
  }

  ReasonReport run(const std::function<void(const ReasonReport&)>& saved) {
    Reachability reachability;
    for (take_rows(); !open_.empty(); take_rows()) {
      std::vector<Question> questions;
      for (const Row& row : open_) {
        questions.push_back({{row.messages, row.max_tokens, static_cast<std::uint64_t>(row.row),
                              verdict_openings(dataset_, row.row, config_.history)},
                             row.turn});
      }
      const std::vector<ChatReply> replies = ask_round(backend_, journal_, questions, report_);
      std::vector<Row> next;
      for (std::size_t i = 0; i < replies.size(); ++i) {
        if (judge(open_[i], replies[i])) next.push_back(std::move(open_[i]));
      }
      open_ = std::move(next);
      saved(report_);
      reachability.check(replies);
    }
    return report_;
  }

 private:
  struct Row {
    std::int64_t row;
    std::vector<ChatMessage> messages;
    std::int64_t max_tokens;
    std::int64_t turn = 1;
    bool reflecting = false;  ///< the answer is revealed
  };

  /// Opens rows while a batch has room for them and reasons are missing.
  void take_rows() {
    const auto& from = config_.from.empty() ? dataset_.rows(Split::kTrain) : config_.from;
    const auto size = static_cast<std::int64_t>(from.size());
    const std::int64_t most = std::min(size, config_.most_tried > 0 ? config_.most_tried : 8 * config_.rows);
    const std::int64_t missing = config_.rows - static_cast<std::int64_t>(dataset_.reasons.size());
    for (; tried_ < most && static_cast<std::int64_t>(open_.size()) < std::min(backend_.batch(), missing); ++tried_) {
      constexpr std::uint64_t kStream = 11;
      const std::int64_t row = from[static_cast<std::size_t>(permuted(tried_, size, config_.seed, kStream, 0))];
      const bool history = dataset_.history_begin(row, 1) < row;  // nothing can be explained without one
      if (!history || have_.contains(row)) continue;
      if (const SynthesisFailure* before = failures_.find(kWhat, row);
          before != nullptr && before->by == by_ && !config_.retry_failed) {
        ++report_.skipped;
        continue;
      }
      open_.push_back({row, first_turn(dataset_, row, config_.history), config_.max_tokens});
    }
  }

  /// Stores what was accepted, lists what failed; true for a row that is to be asked about again.
  bool judge(Row& row, const ChatReply& reply) {
    const std::string who = fmt::format("user {}, item {}", dataset_.users[static_cast<std::size_t>(dataset_.user[at(row)])],
                                        dataset_.items[static_cast<std::size_t>(dataset_.item[at(row)])].id);
    if (reply.failure != ChatFailure::kNone) {
      failures_.put(kWhat, row.row, no_answer(who, reply));
      return false;
    }
    const bool label = dataset_.label[at(row)] != 0;
    const auto verdict = parse_verdict(reply.text);
    if (verdict && *verdict == label && (row.reflecting || !config_.reveal)) {
      const std::string text = clean_reason(config_.thinking ? reply.thinking : reply.text, label, config_.bounds);
      if (!text.empty()) {
        accept(row, text);
        return false;
      }
    }
    if (row.turn == config_.turns) {
      ++report_.failed;
      const char* why = config_.reveal && !row.reflecting ? "the right answer was to be revealed, and there was no turn left"
                        : !verdict                        ? "the last reply states no verdict"
                        : *verdict != label               ? "the last verdict is wrong"
                        : reply.thinking.empty() && config_.thinking ? "the last reply came without thinking"
                                                                     : "the last explanation is empty or out of bounds";
      failures_.put(kWhat, row.row, {who, fmt::format("{}, after {} turns", why, row.turn), by_});
      return false;
    }
    ask_again(row, reply);
    return true;
  }

  void accept(const Row& row, const std::string& text) {
    const std::string prompt_hash = sha256_hex(first_turn(dataset_, row.row, config_.history)[1].text).substr(0, 16);
    nlohmann::json provenance = {
        {"model", backend_.model()}, {"prompt", prompt_hash}, {"turns", row.turn}, {"seed", config_.seed}};
    if (config_.thinking) provenance["thinking"] = true;
    dataset_.reasons.push_back({row.row, text, provenance.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
    have_.insert(row.row);
    failures_.drop(kWhat, row.row);
    ++report_.accepted[static_cast<std::size_t>(row.turn - 1)];
  }

  /// The next turn: the question, the first reply that was not accepted, and a reflect turn, which later ones take the place of.
  void ask_again(Row& row, const ChatReply& reply) {
    constexpr std::int64_t kMostRoom = 4;
    ++row.turn;
    if (reply.text.empty() && reply.cut && row.max_tokens < kMostRoom * config_.max_tokens) {
      row.max_tokens *= 2;
      return;
    }
    if (!row.reflecting) {
      const char* other = dataset_.label[at(row)] != 0 ? "No" : "Yes";  // stands in for a reply that is empty
      row.messages.push_back({"assistant", reply.text.empty() ? other : reply.text});
      row.messages.push_back(reflect_turn(dataset_, row.row, row.turn - 2));
      row.reflecting = true;
    } else {
      row.messages.back() = reflect_turn(dataset_, row.row, row.turn - 2);
    }
  }

  static std::size_t at(const Row& row) { return static_cast<std::size_t>(row.row); }

  Dataset& dataset_;
  ChatBackend& backend_;
  Journal& journal_;
  FailureList& failures_;
  const ReasonConfig& config_;
  ReasonReport report_;
  std::set<std::int64_t> have_;
  std::string by_;  // this model with these settings
  std::vector<Row> open_;
  std::int64_t tried_ = 0;
};

}  // namespace

std::vector<std::int64_t> wrong_rows(const Dataset& dataset, const std::string& file_and_model, double threshold) {
  const ScoreFile scores = read_score_file(file_and_model);
  const auto& train = dataset.rows(Split::kTrain);
  const std::unordered_set<std::int64_t> in_train(train.begin(), train.end());
  std::vector<std::int64_t> wrong;
  for (std::size_t i = 0; i < scores.row.size(); ++i) {
    const std::int64_t row = scores.row[i];
    if (!in_train.contains(row))
      fail(ExitCode::kBadData, "{}: row {} is no train row; score them by thinkrec_eval --split train --all-rows --scores",
           file_and_model, row);
    const auto at = static_cast<std::size_t>(row);
    if (dataset.users[static_cast<std::size_t>(dataset.user[at])] != scores.user[i] || dataset.label[at] != scores.label[i])
      fail(ExitCode::kBadData, "{}: row {} has another user or label than in the data set: the scores are of another one",
           file_and_model, row);
    if ((scores.score[i] > threshold) != (scores.label[i] != 0)) wrong.push_back(row);
  }
  if (wrong.empty())
    fail(ExitCode::kBadData, "{}: no row is scored wrongly with the threshold {}; see --threshold", file_and_model, threshold);
  return wrong;
}

std::vector<std::int64_t> rows_with_history(const Dataset& dataset, Split split, std::int64_t history) {
  std::vector<std::int64_t> rows;
  for (const std::int64_t row : dataset.rows(split)) {
    if (row - dataset.history_begin(row, 0) >= history) rows.push_back(row);
  }
  if (rows.empty()) {
    fail(ExitCode::kBadData, "no row of the split '{}' has a history of {} items; lower --history",
         kSplitNames[static_cast<std::size_t>(split)], history);
  }
  return rows;
}

std::vector<Reason> read_references(const std::string& path, const Dataset& dataset, Split split) {
  std::vector<Reason> references;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return references;
  const auto& rows = dataset.rows(split);
  const std::set<std::int64_t> known(rows.begin(), rows.end());
  std::set<std::int64_t> seen;
  JsonLines file(path, {"row", "reference", "source"});
  while (file.next()) {
    const Reason& reference = references.emplace_back(Reason{file.integer(0), file.text(1), file.text(2)});
    if (!known.contains(reference.row)) {
      fail(ExitCode::kBadData, "{}: row {} is not of the split '{}' of the data set '{}'", file.place(), reference.row,
           kSplitNames[static_cast<std::size_t>(split)], dataset.name);
    }
    if (!seen.insert(reference.row).second) fail(ExitCode::kBadData, "{}: row {} is there twice", file.place(), reference.row);
    if (reference.text.empty()) fail(ExitCode::kBadData, "{}: the reference of row {} is empty", file.place(), reference.row);
  }
  return references;
}

void write_references(const std::string& path, std::span<const Reason> references) {
  std::string text;
  for (const Reason& one : references) {
    const nlohmann::ordered_json line = {{"row", one.row}, {"reference", one.text}, {"source", one.provenance}};
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  write_file_atomic(path, text);
}

ReasonReport synthesize_reasons(Dataset& dataset, ChatBackend& backend, Journal& journal, FailureList& failures,
                                const ReasonConfig& config, const std::function<void(const ReasonReport&)>& saved) {
  return ReasonMaker(dataset, backend, journal, failures, config).run(saved);
}

}  // namespace thinkrec
