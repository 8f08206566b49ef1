#include "synthesis/keywords.h"

#include <fmt/format.h>

#include "synthesis/prompts.h"
#include "synthesis/reply.h"

namespace thinkrec {

KeywordReport synthesize_keywords(Dataset& dataset, ChatBackend& backend, Journal& journal, FailureList& failures,
                                  const KeywordConfig& config, const std::function<void(const KeywordReport&)>& saved) {
  constexpr const char* kWhat = "keywords";
  KeywordReport report;
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    const bool has = !dataset.items[i].keywords.empty();
    report.had += has ? 1 : 0;
    const bool failed = failures.find(kWhat, static_cast<std::int64_t>(i)) != nullptr;  // one that had some keeps them until then
    if (!has || failed || config.again) wanted.push_back(i);
  }
  if (config.items > 0 && static_cast<std::int64_t>(wanted.size()) > config.items)
    wanted.resize(static_cast<std::size_t>(config.items));

  Reachability reachability;
  const auto batch = static_cast<std::size_t>(backend.batch());
  for (std::size_t begin = 0; begin < wanted.size(); begin += batch) {
    const auto items = std::span(wanted).subspan(begin, std::min(batch, wanted.size() - begin));
    std::vector<Question> questions;
    for (const std::size_t item : items) questions.push_back({{keyword_prompt(dataset, item), config.max_tokens, item}, 1});
    const std::vector<ChatReply> replies = ask_round(backend, journal, questions, report);
    for (std::size_t i = 0; i < items.size(); ++i) {
      Item& item = dataset.items[items[i]];
      const auto number = static_cast<std::int64_t>(items[i]);
      const std::string who = fmt::format("item {}", item.id);
      if (replies[i].failure != ChatFailure::kNone) {
        failures.put(kWhat, number, no_answer(who, replies[i]));
        continue;
      }
      std::string keywords = clean_keywords(replies[i].text);
      if (keywords.empty()) {
        ++report.failed;
        failures.put(kWhat, number, {who, "no keyword in the reply", backend.model()});
        continue;
      }
      ++report.made;
      item.keywords = std::move(keywords);
      failures.drop(kWhat, number);
    }
    saved(report);
    reachability.check(replies);
  }
  return report;
}

}  // namespace thinkrec
