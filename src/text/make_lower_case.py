#!/usr/bin/env python3
"""Writes lower_case.cpp: the lower-case form of a code point, by the Unicode data of the Python that runs this.

  python3 make_lower_case.py > lower_case.cpp
"""
import unicodedata


def main():
    runs = []  # [low, high, step, offset]
    for c in range(0x80, 0x110000):
        offset = ord(chr(c).lower()[0]) - c  # the first: U+0130 is the only one with two
        if offset == 0:
            continue
        last = runs[-1] if runs else None
        if last and last[3] == offset and (c - last[1] == last[2] or (last[0] == last[1] and c - last[1] == 2)):
            last[1], last[2] = c, c - last[1]
        else:
            runs.append([c, c, 1, offset])
    print(f"// Made by make_lower_case.py from Unicode {unicodedata.unidata_version}. Do not edit.")
    print('\n#include <algorithm>\n#include <array>\n#include <cstdint>\n#include <iterator>\n\n#include "text/unicode.h"\n')
    print("namespace thinkrec {\nnamespace {\n")
    print("struct Run {\n  char32_t low, high;  ///< both inclusive\n  char32_t step;\n  std::int32_t offset;\n};\n")
    print(f"constexpr std::array<Run, {len(runs)}> kRuns = {{{{")
    line = "   "
    for low, high, step, offset in runs:
        cell = f" {{0x{low:x}, 0x{high:x}, {step}, {offset}}},"
        if len(line) + len(cell) > 128:
            print(line)
            line = "   "
        line += cell
    print(line + "\n}};\n\n}  // namespace\n")
    print("char32_t lower_case(char32_t c) {")
    print("  if (c < 0x80) return c >= U'A' && c <= U'Z' ? c + 32 : c;")
    print("  const auto after = std::upper_bound(kRuns.begin(), kRuns.end(), c, [](char32_t value, const Run& r) { return value < r.low; });")
    print("  if (after == kRuns.begin()) return c;")
    print("  const Run& run = *std::prev(after);")
    print("  if (c > run.high || (c - run.low) % run.step != 0) return c;")
    print("  return static_cast<char32_t>(static_cast<std::int32_t>(c) + run.offset);\n}\n\n}  // namespace thinkrec")


if __name__ == "__main__":
    main()
