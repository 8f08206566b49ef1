#include "eval/porter.h"

#include <array>
#include <span>
#include <utility>

#include "text/unicode.h"

namespace thinkrec {
namespace {

using Word = std::u32string;
using View = std::u32string_view;

bool is_vowel(char32_t c) { return View(U"aeiou").find(c) != View::npos; }

/// The class of the last letter: y is a consonant at the start and after a vowel.
bool ends_in_consonant(View word) {
  if (word.back() != U'y') return !is_vowel(word.back());
  const std::size_t other = word.find_last_not_of(U'y');
  const std::size_t run = other == View::npos ? word.size() : word.size() - 1 - other;
  return (run % 2 == 1) == (other == View::npos || is_vowel(word[other]));
}

/// Porter's m: how often a consonant follows a vowel.
int measure(View stem) {
  int count = 0;
  bool consonant = false;
  for (std::size_t i = 0; i < stem.size(); ++i) {
    const bool before = consonant;
    consonant = stem[i] == U'y' ? i == 0 || !before : !is_vowel(stem[i]);
    count += i > 0 && consonant && !before;
  }
  return count;
}

/// Of *v*: the first y after a consonant is a vowel.
bool has_vowel(View stem) {
  for (std::size_t i = 0; i < stem.size(); ++i) {
    if (is_vowel(stem[i]) || (i > 0 && stem[i] == U'y')) return true;
  }
  return false;
}

/// Of *d.
bool ends_in_double_consonant(View word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && ends_in_consonant(word);
}

/// Of *o: consonant, vowel, consonant other than w, x and y; NLTK adds words that are one vowel and one consonant.
bool ends_in_short_syllable(View word) {
  const std::size_t n = word.size();
  if (n < 2 || !ends_in_consonant(word) || ends_in_consonant(word.substr(0, n - 1))) return false;
  return n == 2 || (ends_in_consonant(word.substr(0, n - 2)) && View(U"wxy").find(word.back()) == View::npos);
}

View without(View word, std::size_t letters) { return word.substr(0, word.size() - letters); }

Word ending(View stem, View end) { return Word(stem).append(end); }

struct Rule {
  View suffix, replacement;
};

/// The first rule whose suffix the word has decides: it applies when holds(stem), and else the word stays.
template <class Condition>
Word first_rule(Word word, std::span<const Rule> rules, const Condition& holds) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const View stem = without(word, rule.suffix.size());
    return holds(stem, rule) ? ending(stem, rule.replacement) : word;
  }
  return word;
}

Word step1a(Word word) {
  if (word.ends_with(U"ies")) return Word(without(word, word.size() == 4 ? 1 : 2));
  if (word.ends_with(U"sses")) return Word(without(word, 2));
  if (word.ends_with(U's') && !word.ends_with(U"ss")) word.pop_back();
  return word;
}

Word step1b(Word word) {
  if (word.ends_with(U"ied")) return Word(without(word, word.size() == 4 ? 1 : 2));
  if (word.ends_with(U"eed")) return measure(without(word, 3)) > 0 ? Word(without(word, 1)) : word;
  const std::size_t letters = word.ends_with(U"ed") ? 2 : word.ends_with(U"ing") ? 3 : 0;
  if (letters == 0 || !has_vowel(without(word, letters))) return word;
  const View stem = without(word, letters);
  if (stem.ends_with(U"at") || stem.ends_with(U"bl") || stem.ends_with(U"iz")) return ending(stem, U"e");
  if (ends_in_double_consonant(stem)) return Word(View(U"lsz").find(stem.back()) == View::npos ? without(stem, 1) : stem);
  return measure(stem) == 1 && ends_in_short_syllable(stem) ? ending(stem, U"e") : Word(stem);
}

Word step1c(Word word) {
  if (word.size() > 2 && word.ends_with(U'y') && ends_in_consonant(without(word, 1))) word.back() = U'i';
  return word;
}

Word step2(Word word) {
  static constexpr std::array<Rule, 22> kRules = {{
      {U"ational", U"ate"}, {U"tional", U"tion"}, {U"enci", U"ence"}, {U"anci", U"ance"}, {U"izer", U"ize"},
      {U"bli", U"ble"},     {U"alli", U"al"},     {U"entli", U"ent"}, {U"eli", U"e"},     {U"ousli", U"ous"},
      {U"ization", U"ize"}, {U"ation", U"ate"},   {U"ator", U"ate"},  {U"alism", U"al"},  {U"iveness", U"ive"},
      {U"fulness", U"ful"}, {U"ousness", U"ous"}, {U"aliti", U"al"},  {U"iviti", U"ive"}, {U"biliti", U"ble"},
      {U"fulli", U"ful"},   {U"logi", U"log"},
  }};
  if (word.ends_with(U"alli") && measure(without(word, 4)) > 0) word = Word(without(word, 2));  // and then the rules of -al
  // The l of -logi counts with the stem, so that geo- and theo- are long enough.
  return first_rule(std::move(word), kRules, [](View stem, const Rule& rule) {
    return measure(rule.suffix == U"logi" ? ending(stem, U"l") : Word(stem)) > 0;
  });
}

Word step3(Word word) {
  static constexpr std::array<Rule, 7> kRules = {{{U"icate", U"ic"},
                                                  {U"ative", U""},
                                                  {U"alize", U"al"},
                                                  {U"iciti", U"ic"},
                                                  {U"ical", U"ic"},
                                                  {U"ful", U""},
                                                  {U"ness", U""}}};
  return first_rule(std::move(word), kRules, [](View stem, const Rule&) { return measure(stem) > 0; });
}

Word step4(Word word) {
  static constexpr std::array<Rule, 19> kRules = {{{U"al", U""},
                                                   {U"ance", U""},
                                                   {U"ence", U""},
                                                   {U"er", U""},
                                                   {U"ic", U""},
                                                   {U"able", U""},
                                                   {U"ible", U""},
                                                   {U"ant", U""},
                                                   {U"ement", U""},
                                                   {U"ment", U""},
                                                   {U"ent", U""},
                                                   {U"ion", U""},
                                                   {U"ou", U""},
                                                   {U"ism", U""},
                                                   {U"ate", U""},
                                                   {U"iti", U""},
                                                   {U"ous", U""},
                                                   {U"ive", U""},
                                                   {U"ize", U""}}};
  return first_rule(std::move(word), kRules, [](View stem, const Rule& rule) {
    return measure(stem) > 1 && (rule.suffix != U"ion" || stem.back() == U's' || stem.back() == U't');
  });
}

Word step5(Word word) {
  if (word.ends_with(U'e')) {
    const View stem = without(word, 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_short_syllable(stem))) word.pop_back();
  }
  if (word.ends_with(U"ll") && measure(without(word, 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kIrregular = {{{"sky", "sky"},
                                                                                                {"skies", "sky"},
                                                                                                {"dying", "die"},
                                                                                                {"lying", "lie"},
                                                                                                {"tying", "tie"},
                                                                                                {"news", "news"},
                                                                                                {"innings", "inning"},
                                                                                                {"inning", "inning"},
                                                                                                {"outings", "outing"},
                                                                                                {"outing", "outing"},
                                                                                                {"cannings", "canning"},
                                                                                                {"canning", "canning"},
                                                                                                {"howe", "howe"},
                                                                                                {"proceed", "proceed"},
                                                                                                {"exceed", "exceed"},
                                                                                                {"succeed", "succeed"}}};
  for (const auto& [form, stem] : kIrregular) {
    if (word == form) return std::string(stem);
  }
  Word text = decode_utf8(word);
  if (text.size() <= 2) return std::string(word);
  for (const auto step : {step1a, step1b, step1c, step2, step3, step4, step5}) text = step(std::move(text));
  return encode_utf8(text);
}

}  // namespace thinkrec
