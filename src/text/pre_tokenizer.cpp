#include "text/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

using Text = std::u32string_view;

bool is_other(char32_t c) { return !is_space(c) && !is_letter(c) && !is_number(c); }
bool is_line_end(char32_t c) { return c == U'\r' || c == U'\n'; }

template <class Predicate>
std::size_t run(Text text, std::size_t at, const Predicate& in_class) {
  while (at < text.size() && in_class(text[at])) ++at;
  return at;
}

/// Length of 's 't 're 've 'm 'll 'd at `at`, or 0. Regardless of case, U+017F (long s) is an s as well; no other letter beyond
/// ASCII folds to one of these.
std::size_t contraction(Text text, std::size_t at, bool any_case) {
  if (text[at] != U'\'') return 0;
  const auto letter = [&](std::size_t i) -> char32_t {
    if (i >= text.size()) return 0;
    const char32_t c = text[i];
    if (!any_case) return c;
    if (c == 0x17f) return U's';
    return c >= U'A' && c <= U'Z' ? c + 32 : c;
  };
  const char32_t a = letter(at + 1), b = letter(at + 2);
  if (a == U's' || a == U't' || a == U'm' || a == U'd') return 2;
  if ((a == U'r' && b == U'e') || (a == U'v' && b == U'e') || (a == U'l' && b == U'l')) return 3;
  return 0;
}

/// \s+(?!\S)|\s+ : white space up to the last one before a word; alone, that one too.
std::size_t spaces(Text text, std::size_t at) {
  const std::size_t end = run(text, at, is_space);
  if (end == text.size() || end - at == 1) return end;
  return end - 1;
}

std::size_t gpt2_word(Text text, std::size_t at) {
  if (const std::size_t n = contraction(text, at, false)) return at + n;
  const std::size_t body = text[at] == U' ' && at + 1 < text.size() ? at + 1 : at;
  for (bool (*in_class)(char32_t) : {&is_letter, &is_number, &is_other}) {
    if (in_class(text[body])) return run(text, body, in_class);
  }
  return spaces(text, at);
}

std::size_t llama3_word(Text text, std::size_t at, std::size_t most_digits) {
  if (const std::size_t n = contraction(text, at, true)) return at + n;
  if (is_letter(text[at])) return run(text, at, is_letter);
  const bool may_lead = !is_line_end(text[at]) && !is_number(text[at]);
  if (may_lead && at + 1 < text.size() && is_letter(text[at + 1])) return run(text, at + 1, is_letter);
  if (is_number(text[at])) return run(text.substr(0, std::min(text.size(), at + most_digits)), at, is_number);
  const std::size_t body = text[at] == U' ' && at + 1 < text.size() ? at + 1 : at;
  if (is_other(text[body])) return run(text, run(text, body, is_other), is_line_end);
  // \s*[\r\n]+ : white space up to and with the last line end of this run.
  const std::size_t end = run(text, at, is_space);
  for (std::size_t i = end; i > at; --i) {
    if (is_line_end(text[i - 1])) return i;
  }
  return spaces(text, at);
}

std::size_t digit_or_rest(Text text, std::size_t at) {
  if (is_digit(text[at])) return at + 1;
  return run(text, at, [](char32_t c) { return !is_digit(c); });
}

/// `next` is one of the functions above: the end of the piece that begins at `at`.
template <class Next>
void walk(Text text, const std::function<void(Text)>& word, const Next& next) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next(text, at);
    word(text.substr(at, end - at));
    at = end;
  }
}

/// As the tokenizer.json files of the models have them.
constexpr std::pair<std::string_view, SplitRule> kRegexes[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitRule::kGpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitRule::kGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitRule::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitRule::kQwen2},
};

}  // namespace

std::optional<SplitRule> rule_of_regex(std::string_view regex) {
  for (const auto& [known, rule] : kRegexes) {
    if (regex == known) return rule;
  }
  return std::nullopt;
}

std::string_view regex_of_rule(SplitRule rule) {
  for (const auto& [known, of] : kRegexes) {
    if (rule == of) return known;
  }
  fail(ExitCode::kInternal, "a split rule without a regular expression");
}

void split_words(SplitRule rule, Text text, const std::function<void(Text)>& word) {
  switch (rule) {
    case SplitRule::kDigits:
      return walk(text, word, digit_or_rest);
    case SplitRule::kGpt2:
      return walk(text, word, gpt2_word);
    case SplitRule::kLlama3:
      return walk(text, word, [](Text t, std::size_t at) { return llama3_word(t, at, 3); });
    case SplitRule::kQwen2:
      return walk(text, word, [](Text t, std::size_t at) { return llama3_word(t, at, 1); });
  }
}

}  // namespace thinkrec
