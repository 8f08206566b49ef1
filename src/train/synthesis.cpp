#include "train/synthesis.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "data/prompt.h"
#include "data/sampler.h"
#include "io/file.h"
#include "model/generate.h"

namespace thinkrec {
namespace {

std::string history_text(const Dataset& dataset, std::int64_t row, std::int64_t limit) {
  std::string text;
  for (std::int64_t i = dataset.history_begin(row, limit); i < row; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Item& item = dataset.items[static_cast<std::size_t>(dataset.item[at])];
    text +=
        fmt::format("{}\"{}\"{}{}", text.empty() ? "" : "; ", item.title, item.keywords.empty() ? "" : " (" + item.keywords + ")",
                    dataset.label[at] != 0 ? ", liked" : ", disliked");
  }
  return text;
}

std::string target_text(const Dataset& dataset, std::int64_t row) {
  const Item& item = dataset.items[static_cast<std::size_t>(dataset.item[static_cast<std::size_t>(row)])];
  return fmt::format("\"{}\"{}", item.title, item.keywords.empty() ? "" : " (" + item.keywords + ")");
}

std::vector<Turn> first_turn(const Dataset& dataset, std::int64_t row, std::int64_t history) {
  return {
      {"system",
       fmt::format(
           "You are a helpful {} recommender. Begin your answer with \"Yes\" or \"No\", then explain it in two sentences.",
           dataset.noun.singular)},
      {"user",
       fmt::format(
           "A user has given ratings to the following {}: {}. Using all available information, make a prediction about whether "
           "the user would enjoy the {} titled {}?",
           dataset.noun.plural, history_text(dataset, row, history), dataset.noun.singular, target_text(dataset, row))}};
}

Turn reflect_turn(const Dataset& dataset, std::int64_t row) {
  return {
      "user",
      fmt::format(
          "The correct response is {}. Reflect on multiple aspects based on historical information and explain the reason for "
          "the oversight based on the previous analysis. Reanalyze to make a prediction about whether the user would enjoy the "
          "{} titled {}? Begin with \"{}\".",
          dataset.label[static_cast<std::size_t>(row)] != 0 ? "Yes" : "No", dataset.noun.singular, target_text(dataset, row),
          dataset.label[static_cast<std::size_t>(row)] != 0 ? "Yes" : "No")};
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Length of the leading verdict word, with what surrounds it ("**Yes**, "), or 0.
std::size_t verdict_length(const std::string& reply, bool& verdict) {
  std::size_t at = 0;
  while (at < reply.size() && !is_letter(reply[at]) && !(reply[at] >= '0' && reply[at] <= '9')) ++at;
  std::size_t end = at;
  while (end < reply.size() && is_letter(reply[end])) ++end;
  std::string word = reply.substr(at, end - at);
  for (char& c : word) c = static_cast<char>(c | 0x20);
  if (word != "yes" && word != "no") return 0;
  verdict = word == "yes";
  while (end < reply.size() && (reply[end] == '*' || reply[end] == '"' || reply[end] == ',' || reply[end] == '.' ||
                                reply[end] == '!' || reply[end] == ':' || reply[end] == ' ' || reply[end] == '\n')) {
    ++end;
  }
  return end;
}

}  // namespace

std::optional<bool> parse_verdict(const std::string& reply) {
  bool verdict = false;
  if (verdict_length(reply, verdict) == 0) return std::nullopt;
  return verdict;
}

std::string clean_reason(const std::string& reply, bool verdict) {
  bool stated = false;
  std::string rest = reply.substr(verdict_length(reply, stated)), text;
  for (const char c : rest) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space) text += c;
    if (space && !text.empty() && text.back() != ' ') text += ' ';
  }
  if (const std::size_t stop = text.find_last_of(".!?"); stop != std::string::npos && stop > 20) text.resize(stop + 1);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.empty()) return "";
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return fmt::format("{}. {}", verdict ? "Yes" : "No", text);
}

std::vector<std::int32_t> chat_tokens(const Tokenizer& tokenizer, const std::vector<Turn>& turns) {
  std::vector<std::int32_t> tokens;
  const auto text = [&](const std::string& plain) {
    const auto ids = tokenizer.encode(plain);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  };
  if (tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  if (const auto start = tokenizer.find_special("<|im_start|>"), end = tokenizer.find_special("<|im_end|>"); start && end) {
    for (const Turn& turn : turns) {
      tokens.push_back(*start);
      text(turn.role + "\n" + turn.text);
      tokens.push_back(*end);
      text("\n");
    }
    tokens.push_back(*start);
    text("assistant\n");
    return tokens;
  }
  const auto open = tokenizer.find_special("<|start_header_id|>"), close = tokenizer.find_special("<|end_header_id|>"),
             turn_end = tokenizer.find_special("<|eot_id|>");
  if (open && close && turn_end) {
    const auto header = [&](const std::string& role) {
      tokens.push_back(*open);
      text(role);
      tokens.push_back(*close);
      text("\n\n");
    };
    for (const Turn& turn : turns) {
      header(turn.role);
      text(turn.text);
      tokens.push_back(*turn_end);
    }
    header("assistant");
    return tokens;
  }
  std::string plain;
  for (const Turn& turn : turns) plain += turn.role + ": " + turn.text + "\n";
  text(plain + "assistant:");
  return tokens;
}

std::vector<std::int32_t> chat_stops(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> stops;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|im_start|>"}) {
    if (const auto id = tokenizer.find_special(name)) stops.push_back(*id);
  }
  return stops;
}

SynthesisReport synthesize_reasons(const Llama& model, const std::string& model_hash, const Tokenizer& tokenizer,
                                   Dataset& dataset, const SynthesisConfig& config,
                                   const std::function<void(const SynthesisReport&)>& saved) {
  SynthesisReport report;
  report.had = static_cast<std::int64_t>(dataset.reasons.size());
  std::set<std::int64_t> have;
  for (const Reason& reason : dataset.reasons) have.insert(reason.row);
  const auto& train = dataset.rows(Split::kTrain);
  const auto size = static_cast<std::int64_t>(train.size());
  const std::int64_t most = std::min(size, config.most_tried > 0 ? config.most_tried : 8 * config.rows);

  GenerateConfig generation;
  generation.max_new_tokens = config.max_new_tokens;
  generation.eos = tokenizer.eos();
  generation.stop = chat_stops(tokenizer);
  generation.no_repeat_ngram = 4;
  const VerdictTokens verdicts = verdict_tokens(tokenizer);
  generation.first = {verdicts.yes, verdicts.no};  // small models ramble; which verdict comes first is still their own choice

  // Replies to conversations, all at once.
  const auto ask = [&](const std::vector<std::int64_t>& rows, const std::vector<std::vector<Turn>>& conversations) {
    PackedBatch prompts;
    for (std::size_t i = 0; i < rows.size(); ++i)
      prompts.add(chat_tokens(tokenizer, conversations[i]), static_cast<std::uint64_t>(rows[i]));
    std::vector<std::string> replies;
    for (const auto& ids : generate(model, nullptr, prompts, {}, generation)) replies.push_back(tokenizer.decode(ids));
    return replies;
  };

  std::int64_t tried = 0;
  while (static_cast<std::int64_t>(dataset.reasons.size()) < config.rows && tried < most) {
    const std::int64_t missing = config.rows - static_cast<std::int64_t>(dataset.reasons.size());
    std::vector<std::int64_t> rows;
    for (; tried < most && static_cast<std::int64_t>(rows.size()) < std::min(config.batch, missing); ++tried) {
      const std::int64_t row = train[static_cast<std::size_t>(permuted(tried, size, config.seed, 11, 0))];
      const bool history = dataset.history_begin(row, 1) < row;  // nothing can be explained without one
      if (history && !have.contains(row)) rows.push_back(row);
    }
    std::vector<std::vector<Turn>> conversations;
    for (const std::int64_t row : rows) conversations.push_back(first_turn(dataset, row, config.history));
    std::vector<std::string> replies = ask(rows, conversations);
    for (int turn = 1; turn <= 2 && !rows.empty(); ++turn) {
      std::vector<std::int64_t> again;
      std::vector<std::vector<Turn>> next;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool label = dataset.label[static_cast<std::size_t>(rows[i])] != 0;
        const auto verdict = parse_verdict(replies[i]);
        const std::string text = verdict && *verdict == label ? clean_reason(replies[i], label) : "";
        if (!text.empty()) {
          const std::string prompt_hash = sha256_hex(first_turn(dataset, rows[i], config.history)[1].text).substr(0, 16);
          dataset.reasons.push_back(
              {rows[i], text,
               nlohmann::json{
                   {"model", model_hash.substr(0, 16)}, {"prompt", prompt_hash}, {"turns", turn}, {"seed", config.seed}}
                   .dump()});
          have.insert(rows[i]);
          ++(turn == 1 ? report.accepted_first : report.accepted_second);
        } else if (turn == 1) {
          again.push_back(rows[i]);
          next.push_back(conversations[i]);
          next.back().push_back({"assistant", replies[i]});
          next.back().push_back(reflect_turn(dataset, rows[i]));
        } else {
          ++report.failed;
        }
      }
      rows = again;
      if (turn == 1 && !rows.empty()) replies = ask(rows, next);
    }
    saved(report);
  }
  return report;
}

}  // namespace thinkrec
