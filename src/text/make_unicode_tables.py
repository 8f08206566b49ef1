#!/usr/bin/env python3
"""Writes unicode_tables.cpp: the code points that Hugging Face `tokenizers` takes for letters, numbers and white space.

  python3 make_unicode_tables.py > unicode_tables.cpp

The classes are read off the package itself (its regular expressions), code point by code point, so that the C++ tokenizers split text
where it does. Version used for the committed file: see the first line of the output.
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


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] + 1 == c:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def main():
    print(f"// Made by make_unicode_tables.py from the package tokenizers {tokenizers.__version__}. Do not edit.")
    print('\n#include "text/unicode.h"\n\nnamespace thinkrec {\n')
    for name, expression in (("kLetters", r"\p{L}"), ("kNumbers", r"\p{N}"), ("kSpaces", r"\s")):
        rows = ranges(members(expression))
        print(f"const std::array<CodePointRange, {len(rows)}> {name}Table = {{{{")
        line = "   "
        for low, high in rows:
            cell = f" {{0x{low:x}, 0x{high:x}}},"
            if len(line) + len(cell) > 128:
                print(line)
                line = "   "
            line += cell
        print(line)
        print("}};\n")
    for name, function in (("kLetters", "is_letter"), ("kNumbers", "is_number"), ("kSpaces", "is_space")):
        print(f"bool {function}(char32_t c) {{ return in_ranges({name}Table, c); }}\n")
    print("}  // namespace thinkrec")


if __name__ == "__main__":
    main()
