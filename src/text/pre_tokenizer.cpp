#include "text/pre_tokenizer.h"

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

/// Length of 's 't 're 've 'm 'll 'd at `at`, or 0. Without regard to case, K with an accent-free fold only: U+017F folds to s.
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
  if (!is_line_end(text[at]) && !is_number(text[at]) && at + 1 < text.size() && is_letter(text[at + 1])) return run(text, at + 1, is_letter);
  if (is_number(text[at])) return std::min(run(text, at, is_number), at + most_digits);
  const std::size_t body = text[at] == U' ' && at + 1 < text.size() ? at + 1 : at;
  if (is_other(text[body])) return run(text, run(text, body, is_other), is_line_end);
  // \s*[\r\n]+ : white space up to and with the last line end of this run.
  const std::size_t end = run(text, at, is_space);
  for (std::size_t i = end; i > at; --i) {
    if (is_line_end(text[i - 1])) return i;
  }
  return spaces(text, at);
}

template <class Next>
void walk(Text text, const std::function<void(Text)>& word, const Next& next) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next(text, at);
    word(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace

void split_words(SplitRule rule, Text text, const std::function<void(Text)>& word) {
  switch (rule) {
    case SplitRule::kNone:
      if (!text.empty()) word(text);
      return;
    case SplitRule::kGpt2: return walk(text, word, gpt2_word);
    case SplitRule::kDigitsThenGpt2:
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = run(text, at, [](char32_t c) { return !is_number(c); });
        walk(text.substr(at, end - at), word, gpt2_word);  // the look-ahead of \s+(?!\S) ends where the part ends
        if (end < text.size()) word(text.substr(end, 1));
        at = end + 1;
      }
      return;
    case SplitRule::kLlama3: return walk(text, word, [](Text t, std::size_t at) { return llama3_word(t, at, 3); });
    case SplitRule::kQwen2: return walk(text, word, [](Text t, std::size_t at) { return llama3_word(t, at, 1); });
  }
}

}  // namespace thinkrec
