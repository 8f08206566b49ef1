#include "data/prompt_listing.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace thinkrec {
namespace {

std::string vector_of(const Dataset& dataset, const FeatureRef& slot) {
  const auto user_of = [&] { return dataset.users[static_cast<std::size_t>(dataset.user[static_cast<std::size_t>(slot.index)])]; };
  const auto item = [&](std::int64_t number) { return dataset.items[static_cast<std::size_t>(number)].id; };
  switch (slot.kind) {
    case FeatureRef::Kind::kItem:
      return fmt::format("vector of item {}", item(slot.index));
    case FeatureRef::Kind::kUser:
      return fmt::format("vector of user {}", user_of());
    case FeatureRef::Kind::kTarget:
      return fmt::format("vector of item {} for user {}", item(slot.item), user_of());
    case FeatureRef::Kind::kSoft:
      return fmt::format("learnt token {}", slot.index);
  }
  return "";
}

std::string quoted(const std::string& bytes) {
  return nlohmann::json(bytes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string list_prompt(const Dataset& dataset, const Tokenizer& tokenizer, const EncodedRow& row, bool all) {
  const auto at = static_cast<std::size_t>(row.row);
  const Item& item = dataset.items[static_cast<std::size_t>(dataset.item[at])];
  std::string text = fmt::format("row {}: user {}, item {} {}, {}, {}: {} tokens, {} of them slots, {} the answer\n", row.row,
                                 dataset.users[static_cast<std::size_t>(dataset.user[at])], item.id, quoted(item.title),
                                 row.label > 0 ? "liked" : "not liked", row.reason ? "reason" : "recommendation", row.token.size(),
                                 row.slots.size(), row.answer_length());
  for (std::size_t i = 0; i < row.token.size(); ++i) {
    const std::int32_t token = row.token[i];
    const bool answer = static_cast<std::int64_t>(i) >= row.prompt_length;
    std::string shown, use;
    if (token < 0) {
      shown = "<slot>";
      use = vector_of(dataset, row.slots[static_cast<std::size_t>(-1 - token)]);
    } else {
      shown = quoted(tokenizer.decode(std::span(&token, 1)));
      if (answer || (all && i > 0)) use = "CE";
      if (static_cast<std::int64_t>(i) == row.prompt_length) use = "BCE, CE";
    }
    text += fmt::format("{:6} {:>8}  {:<24}{}{}\n", i, token < 0 ? "-" : std::to_string(token), shown, use.empty() ? "" : "  ", use);
  }
  return text;
}

}  // namespace thinkrec
