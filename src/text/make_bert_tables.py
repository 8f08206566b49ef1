#!/usr/bin/env python3
"""Writes bert_tables.cpp: how the BERT normalizer and pre-tokenizer of Hugging Face `tokenizers` take each code point.

  python3 make_bert_tables.py > bert_tables.cpp

Everything is read off the package itself, code point by code point; combining classes from the order that its NFD gives to
a pair.
"""
import unicodedata

import tokenizers
from make_unicode_tables import print_table, ranges
from tokenizers import normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def normalizer(**chosen):
    nothing = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**nothing, **chosen})


def combining_classes():
    """{code point: class}, of those above 0. Two marks change places where the class of the first is above that of the second."""
    nfd, marks = normalizers.NFD(), {}
    for c in range(0x300, 0x10000):
        if unicodedata.combining(chr(c)) and not unicodedata.decomposition(chr(c)):
            marks.setdefault(unicodedata.combining(chr(c)), chr(c))
    known = sorted(marks)
    swaps = lambda first, second: nfd.normalize_str(first + second) == second + first and first != second
    found = {}
    for c in POINTS:
        if swaps(marks[known[-1]], chr(c)):
            found[c] = next(k for k in known if not swaps(chr(c), marks[k]))
        elif swaps(chr(c), marks[known[0]]):
            found[c] = known[-1]
    return found


def main():
    clean, strip = normalizer(clean_text=True), normalizer(strip_accents=True)
    chinese, lower, split = normalizer(handle_chinese_chars=True), normalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    parts = {c: len(split.pre_tokenize_str(f"a{chr(c)}a")) for c in POINTS}
    stripped = {c: strip.normalize_str(chr(c)) for c in POINTS}
    removed = [c for c in POINTS if clean.normalize_str(chr(c)) == ""]
    spaces = [c for c in POINTS if parts[c] == 2]
    assert {c for c in POINTS if clean.normalize_str(chr(c)) == " "} == set(spaces) - set(removed)
    classes = (("Removed", "is_bert_removed", removed), ("Spaces", "is_bert_space", spaces),
               ("Punctuation", "is_bert_punctuation", [c for c in POINTS if parts[c] == 3]),
               ("Chinese", "is_bert_chinese", [c for c in POINTS if chinese.normalize_str(chr(c)) != chr(c)]),
               ("Accents", "is_bert_accent", [c for c in POINTS if stripped[c] == ""]))
    print(f"// Made by make_bert_tables.py from the package tokenizers {tokenizers.__version__}. Do not edit.")
    print('\n#include "text/bert_tables.h"\n\n#include "text/code_point_ranges.h"\n#include "text/unicode.h"\n\nnamespace thinkrec {\nnamespace {\n')
    for name, _, points in classes:
        print_table("CodePointRange", f"k{name}", [(f"0x{low:x}", f"0x{high:x}") for low, high in ranges(points)])
    bases = [(c, text) for c, text in stripped.items() if text not in ("", chr(c)) and not 0xAC00 <= c <= 0xD7A3]
    assert all(len(text) <= 3 for _, text in bases)
    print("struct Base {\n  char32_t from;\n  char32_t to[3];  ///< filled up with 0\n};\n")
    print_table("Base", "kBases", [(f"0x{c:x}", "{" + ", ".join(f"0x{ord(x):x}" for x in text) + "}") for c, text in bases])
    print("struct Classes {\n  char32_t low, high;  ///< both inclusive\n  int combining;\n};\n")
    rows = []
    for c, combining in combining_classes().items():
        if rows and rows[-1][1] + 1 == c and rows[-1][2] == combining:
            rows[-1][1] = c
        else:
            rows.append([c, c, combining])
    print_table("Classes", "kClasses", [(f"0x{low:x}", f"0x{high:x}", str(combining)) for low, high, combining in rows])
    new = [(c, lower.normalize_str(chr(c))) for c in POINTS]
    newer = [(c, text) for c, text in new if len(text) == 1 and text != (chr(c).lower() if len(chr(c).lower()) == 1 else "i")]
    assert [c for c, text in new if len(text) > 1] == [0x130]
    print("struct Pair {\n  char32_t upper, lower;\n};\n\n// Of a Unicode version newer than lower_case() goes by.")
    print_table("Pair", "kNewLower", [(f"0x{c:x}", f"0x{ord(text):x}") for c, text in newer])
    print("}  // namespace\n")
    for name, function, _ in classes:
        print(f"bool {function}(char32_t c) {{ return in_ranges(k{name}, c); }}\n")
    print("""void append_bert_base(std::u32string& out, char32_t c) {
  constexpr char32_t kSyllables = 0xac00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11a7;
  constexpr char32_t kVowelCount = 21, kTailCount = 28, kCount = 11172;
  if (c >= kSyllables && c < kSyllables + kCount) {  // Hangul, by arithmetic (The Unicode Standard, section 3.12)
    const char32_t syllable = c - kSyllables, tail = syllable % kTailCount;
    out += kLeads + syllable / (kVowelCount * kTailCount);
    out += kVowels + syllable / kTailCount % kVowelCount;
    if (tail != 0) out += kTails + tail;
    return;
  }
  const auto base = std::lower_bound(kBases.begin(), kBases.end(), c, [](const Base& b, char32_t value) { return b.from < value; });
  if (base == kBases.end() || base->from != c) {
    out += c;
    return;
  }
  for (const char32_t to : base->to) {
    if (to != 0) out += to;
  }
}

int combining_class(char32_t c) {
  const auto after =
      std::upper_bound(kClasses.begin(), kClasses.end(), c, [](char32_t value, const Classes& r) { return value < r.low; });
  return after != kClasses.begin() && c <= std::prev(after)->high ? std::prev(after)->combining : 0;
}

char32_t bert_lower_case(char32_t c) {
  const auto pair =
      std::lower_bound(kNewLower.begin(), kNewLower.end(), c, [](const Pair& p, char32_t value) { return p.upper < value; });
  return pair != kNewLower.end() && pair->upper == c ? pair->lower : lower_case(c);
}

}  // namespace thinkrec""")


if __name__ == "__main__":
    main()
