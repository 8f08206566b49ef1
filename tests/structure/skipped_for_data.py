#!/usr/bin/env python3
"""Lists the tests in ctest's LastTest.log that skipped because THINKREC_DATA did not name the data, and fails when there are any.
launch/test.sh calls it where the data is at hand.

  skipped_for_data.py LOG
  skipped_for_data.py --self-test
"""
import re
import sys


def skipped_for_data(log):
    names, name, in_reason = [], "?", False
    for line in log.splitlines():
        started = re.match(r"\d+/\d+ Testing: (.+)$", line)
        if started:
            name, in_reason = started.group(1), False
            continue
        # GoogleTest prints "file:line: Skipped" and then the reason; a script prints both in one line.
        in_reason = bool(re.search(r": Skipped$", line)) or (in_reason and bool(line.strip()))
        one_line = re.match(r"(skip|skipped|skipping)\b", line.strip(), re.IGNORECASE)
        if (in_reason or one_line) and re.search(r"THINKREC_DATA|ml1m|MovieLens-1M", line) and name not in names:
            names.append(name)
    return names


GOOGLETEST = """\
3/9 Testing: formats_test
Command: "formats_test"
Output:
----------------------------------------------------------
[ RUN      ] RealData.Ml1m
tests/data/real_data_test.cpp:14: Skipped
THINKREC_DATA does not name a folder with ml1m

[  SKIPPED ] RealData.Ml1m (0 ms)
"""


def self_test():
    assert skipped_for_data(GOOGLETEST) == ["formats_test"]
    assert skipped_for_data("1/2 Testing: a\nskipped: THINKREC_DATA is not set\n2/2 Testing: b\nok\n") == ["a"]
    other = GOOGLETEST.replace("THINKREC_DATA does not name a folder with ml1m", "no GPU here")
    assert skipped_for_data(other) == []
    assert skipped_for_data("1/1 Testing: a\nreading THINKREC_DATA/ml1m\n[       OK ] A.B\n") == []
    after = GOOGLETEST.replace("THINKREC_DATA does not name a folder with ml1m", "no GPU here\n\nTHINKREC_DATA is read")
    assert skipped_for_data(after) == []


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        names = skipped_for_data(log.read())
    for name in names:
        print(name)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
