#include "train/local_chat.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "model/generate.h"

namespace thinkrec {

std::vector<std::int32_t> chat_tokens(const Tokenizer& tokenizer, const std::vector<ChatMessage>& turns) {
  std::vector<std::int32_t> tokens;
  const auto text = [&](const std::string& plain) {
    const auto ids = tokenizer.encode(plain);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  };
  if (tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  if (const auto start = tokenizer.find_special("<|im_start|>"), end = tokenizer.find_special("<|im_end|>"); start && end) {
    for (const ChatMessage& turn : turns) {
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
    for (const ChatMessage& turn : turns) {
      header(turn.role);
      text(turn.text);
      tokens.push_back(*turn_end);
    }
    header("assistant");
    return tokens;
  }
  std::string plain;
  for (const ChatMessage& turn : turns) plain += turn.role + ": " + turn.text + "\n";
  text(plain + "assistant:");
  return tokens;
}

std::vector<std::int32_t> chat_stops(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> stops;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|im_start|>", "<|end_of_text|>", "<|endoftext|>"}) {
    if (const auto id = tokenizer.find_special(name)) stops.push_back(*id);
  }
  return stops;
}

LocalChat::LocalChat(const Llama& model, std::string model_hash, const Tokenizer& tokenizer, const LocalChatConfig& config)
    : model_(model), model_hash_(std::move(model_hash)), tokenizer_(tokenizer), config_(config) {}

std::string LocalChat::model() const { return model_hash_.substr(0, 16); }

std::string LocalChat::settings() const {
  return fmt::format("local {} {}", config_.temperature, config_.temperature > 0 ? config_.seed : 0);
}

void LocalChat::ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) {
  const auto batch = static_cast<std::size_t>(config_.batch);
  for (std::size_t begin = 0; begin < requests.size(); begin += batch)
    answer(requests, begin, std::min(requests.size(), begin + batch), answered);
}

GenerateConfig LocalChat::settings_of(const ChatRequest& request) const {
  GenerateConfig generation;
  generation.max_new_tokens = request.max_tokens;
  generation.eos = tokenizer_.eos();
  generation.stop = chat_stops(tokenizer_);
  generation.stop.insert(generation.stop.end(), config_.ends.begin(), config_.ends.end());
  generation.no_repeat_ngram = kProseNgram;
  generation.temperature = config_.temperature;
  generation.seed = config_.seed;
  for (const std::string& opening : request.openings) {
    std::vector<std::int32_t> tokens = tokenizer_.encode(opening);
    THINKREC_CHECK(!tokens.empty(), "an opening without a token");
    generation.first.push_back(tokens[0]);
    generation.opening.emplace_back(tokens.begin() + 1, tokens.end());
  }
  return generation;
}

void LocalChat::answer(std::span<const ChatRequest> requests, std::size_t begin, std::size_t end,
                       const std::function<void(std::size_t, ChatReply)>& answered) {
  PackedBatch prompts;
  std::vector<std::size_t> asked;
  std::vector<GenerateConfig> settings;
  for (std::size_t i = begin; i < end; ++i) {
    const std::vector<std::int32_t> tokens = chat_tokens(tokenizer_, requests[i].messages);
    const std::int64_t room = model_.config().max_positions - requests[i].max_tokens;
    if (static_cast<std::int64_t>(tokens.size()) > room) {
      ChatReply reply;
      reply.failure = ChatFailure::kRefused;
      reply.detail =
          fmt::format("the question takes {} tokens, and beside a reply the model has room for {}", tokens.size(), room);
      answered(i, std::move(reply));
      continue;
    }
    prompts.add(tokens, requests[i].sample);
    asked.push_back(i);
    settings.push_back(settings_of(requests[i]));
  }
  if (asked.empty()) return;
  const auto ids = generate(model_, nullptr, prompts, {}, settings);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    ChatReply reply;
    reply.text = tokenizer_.decode(ids[i]);
    reply.cut = static_cast<std::int64_t>(ids[i].size()) >= settings[i].max_new_tokens;
    answered(asked[i], std::move(reply));
  }
}

}  // namespace thinkrec
