#!/usr/bin/env python3
"""Writes unicode_tables.cpp: the code points that Hugging Face `tokenizers` takes for letters, numbers, white space and digits.

  python3 make_unicode_tables.py > unicode_tables.cpp

The classes are read off the package itself, code point by code point, so that the C++ tokenizers split text where it does. Its
regular expressions (Oniguruma) and its splitter Digits (Rust's char::is_numeric) go by different versions of Unicode, hence one
table for each. Version used for the committed file: see the first line of the output.
"""
import tokenizers
from tokenizers import Regex, pre_tokenizers


def members(expression):
    """Code points that match, in order: each is put between two U+0001, which is in no class, so that a match stands alone."""
    splitter = pre_tokenizers.Split(Regex(expression), "isolated")
    found = []
    for first in range(0, 0x110000, 4096):
        points = [c for c in range(first, first + 4096) if not 0xD800 <= c <= 0xDFFF]
        if not points:
            continue
        text = "\x01".join(chr(c) for c in points)
        matched = set()
        for piece, (begin, end) in splitter.pre_tokenize_str(text):
            if end - begin == 1 and begin % 2 == 0:
                matched.add(points[begin // 2])
        found += [c for c in points if c in matched]
    return found


def split_off_as_digits():
    digits = pre_tokenizers.Digits(individual_digits=True)
    return [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and len(digits.pre_tokenize_str(f"a{chr(c)}a")) == 3]


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] + 1 == c:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def print_table(kind, name, cells):
    print(f"constexpr std::array<{kind}, {len(cells)}> {name} = {{{{")
    line = "   "
    for cell in cells:
        cell = " {" + ", ".join(cell) + "},"
        if len(line) + len(cell) > 128:
            print(line)
            line = "   "
        line += cell
    print(line + "\n}};\n")


def main():
    print(f"// Made by make_unicode_tables.py from the package tokenizers {tokenizers.__version__}. Do not edit.")
    print('\n#include "text/unicode.h"\n\n#include "text/code_point_ranges.h"\n\nnamespace thinkrec {\n')
    classes = (("Letters", "is_letter", members(r"\p{L}")), ("Numbers", "is_number", members(r"\p{N}")),
               ("Spaces", "is_space", members(r"\s")), ("Digits", "is_digit", split_off_as_digits()))
    print("namespace {\n")
    for name, _, points in classes:
        print_table("CodePointRange", f"k{name}", [(f"0x{low:x}", f"0x{high:x}") for low, high in ranges(points)])
    print("}  // namespace\n")
    for name, function, _ in classes:
        print(f"bool {function}(char32_t c) {{ return in_ranges(k{name}, c); }}\n")
    print("}  // namespace thinkrec")


if __name__ == "__main__":
    main()
