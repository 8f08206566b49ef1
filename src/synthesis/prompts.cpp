#include "synthesis/prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "core/options.h"

namespace thinkrec {
namespace {

// {0}: Yes or No. {1}: item, {2}: the title.
constexpr std::array<const char*, 3> kReflect = {
    "The correct response is {0}. Reflect on multiple aspects based on historical information and explain the reason for the oversight "
    "based on the previous analysis. Reanalyze to make a prediction about whether the user would enjoy the {1} titled {2}?",
    "The accurate answer is {0}. Delve into various aspects considering historical data, elucidate the cause of the oversight according "
    "to the preceding analysis. Conduct a reanalysis to forecast whether the user will take pleasure in the {1} named {2}?",
    "The right response is {0}. Reflect on a variety of aspects with reference to historical information, and account for the oversight "
    "based on the earlier analysis. Reanalyze to determine whether the user would appreciate the {1} titled {2}?"};

const Item& item_of(const Dataset& dataset, std::int64_t row) {
  return dataset.items[static_cast<std::size_t>(dataset.item[static_cast<std::size_t>(row)])];
}

std::string item_text(const Item& item) {
  return fmt::format("\"{}\"{}", item.title, item.keywords.empty() ? "" : " (" + item.keywords + ")");
}

std::string history_text(const Dataset& dataset, std::int64_t row, std::int64_t limit) {
  std::string text;
  for (std::int64_t i = dataset.history_begin(row, limit); i < row; ++i) {
    const bool liked = dataset.label[static_cast<std::size_t>(i)] != 0;
    text += fmt::format("{}{}{}", text.empty() ? "" : "; ", item_text(item_of(dataset, i)), liked ? ", liked" : ", disliked");
  }
  return text;
}

std::string opening(const Dataset& dataset, std::int64_t row, std::int64_t history, bool liked) {
  const Item& item = item_of(dataset, row);
  const auto keywords = split_list(item.keywords);
  const std::set<std::string> wanted(keywords.begin(), keywords.end());
  std::vector<std::pair<std::int64_t, const Item*>> alike;  // from the last backwards: how many keywords it shares
  for (std::int64_t i = row - 1; i >= dataset.history_begin(row, history); --i) {
    const Item& other = item_of(dataset, i);
    if ((dataset.label[static_cast<std::size_t>(i)] != 0) != liked || &other == &item) continue;
    const auto words = split_list(other.keywords);
    alike.emplace_back(std::count_if(words.begin(), words.end(), [&](const auto& word) { return wanted.contains(word); }),
                       &other);
  }
  std::stable_sort(alike.begin(), alike.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text = liked ? "Yes, because " : "No, because ";
  if (!alike.empty()) {
    text += fmt::format("like \"{}\"", alike[0].second->title);
    if (alike.size() > 1) text += fmt::format(" and \"{}\"", alike[1].second->title);
    text += fmt::format(", which the user {}, ", liked ? "liked" : "disliked");
  }
  return text + fmt::format("\"{}\" is a", item.title);
}

}  // namespace

std::vector<ChatMessage> keyword_prompt(const Dataset& dataset, std::size_t number) {
  const Item& item = dataset.items[number];
  std::string profile = "Title: " + item.title + ".";
  if (!item.profile.empty()) {
    profile += "\n" + item.profile;
  } else if (!item.keywords.empty()) {
    profile += "\nCategory: " + item.keywords;
  }
  return {{"user",
           fmt::format(
               "{}\n\nYour task is to extract up to ten keywords from the given profile of the {} above. Answers should contain "
               "only keywords, which should be separated by commas.\n\nKeywords:",
               profile, dataset.noun.singular)}};
}

std::vector<ChatMessage> first_turn(const Dataset& dataset, std::int64_t row, std::int64_t history) {
  return {
      {"system",
       fmt::format(
           "You are a helpful {} recommender. Begin your answer with \"Yes\" or \"No\", then explain it in two sentences.",
           dataset.noun.singular)},
      {"user",
       fmt::format(
           "A user has given ratings to the following {}: {}. Using all available information, make a prediction about whether "
           "the user would enjoy the {} titled {}?",
           dataset.noun.plural, history_text(dataset, row, history), dataset.noun.singular, item_text(item_of(dataset, row)))}};
}

std::vector<std::string> verdict_openings(const Dataset& dataset, std::int64_t row, std::int64_t history) {
  return {opening(dataset, row, history, true), opening(dataset, row, history, false)};
}

ChatMessage reflect_turn(const Dataset& dataset, std::int64_t row, std::int64_t number) {
  const char* answer = dataset.label[static_cast<std::size_t>(row)] != 0 ? "Yes" : "No";
  const std::string asked = fmt::format(fmt::runtime(kReflect[static_cast<std::size_t>(number) % kReflect.size()]), answer,
                                        dataset.noun.singular, item_text(item_of(dataset, row)));
  return {"user", fmt::format("{} Begin with \"{}\".", asked, answer)};
}

}  // namespace thinkrec
