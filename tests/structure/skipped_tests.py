#!/usr/bin/env python3
"""Lists the tests in ctest's LastTest.log that skipped something, in whole or in part, for want of what the set-up gives: their reason names
launch/setup.sh. With --data also those that skipped for want of THINKREC_DATA; with --no-torch not those that need a
Python that loads torch, which a machine may lack (launch/setup.sh --oracles says so then). Fails when there are any; launch/test.sh calls it, as a
skipped test else counts as passed. What is a machine's own (no GPU, no tiles, root's rights) is no reason to fail, nor what
only an option of the set-up gives that launch/test.sh does not use.

  skipped_tests.py LOG [--data] [--no-torch]
  skipped_tests.py --self-test
"""
import re
import sys

SET_UP, NOT_ASKED_FOR, TORCH = re.compile(r"launch/setup\.sh"), re.compile(r"setup\.sh --(llama|browser)"), re.compile(r"setup\.sh --oracles")
DATA = re.compile(r"THINKREC_DATA|ml1m|MovieLens-1M")


def skipped(log, data, torch=True):
    """["test: reason"]."""
    found, name, in_reason = [], "?", False
    for line in log.splitlines():
        started = re.match(r"\d+/\d+ Testing: (.+)$", line)
        if started:
            name, in_reason = started.group(1), False
            continue
        # GoogleTest prints "file:line: Skipped" and then the reason; a script prints both in one line.
        in_reason = bool(re.search(r": Skipped$", line)) or (in_reason and bool(line.strip()))
        one_line = re.search(r"^(\w+: )?(skip|skipped|skipping)\b", line.strip(), re.IGNORECASE)
        if not in_reason and not one_line:
            continue
        wanted = SET_UP.search(line) and not NOT_ASKED_FOR.search(line) and (torch or not TORCH.search(line))
        if wanted or (data and DATA.search(line)):
            found.append(f"{name}: {line.strip()}")
    return list(dict.fromkeys(found))


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
    reason = "THINKREC_DATA does not name a folder with ml1m"
    assert skipped(GOOGLETEST, True) == [f"formats_test: {reason}"] and skipped(GOOGLETEST, False) == []
    assert skipped("1/2 Testing: a\nskipped: THINKREC_DATA is not set\n2/2 Testing: b\nok\n", True) == ["a: skipped: THINKREC_DATA is not set"]
    assert skipped(GOOGLETEST.replace(reason, "no GPU here"), True) == []
    assert skipped("1/1 Testing: a\nreading THINKREC_DATA/ml1m\n[       OK ] A.B\n", True) == []
    assert skipped(GOOGLETEST.replace(reason, "no GPU here\n\nTHINKREC_DATA is read"), True) == []
    wanting = "/deps/model is not there; launch/setup.sh unpacks it"
    assert skipped(GOOGLETEST.replace(reason, wanting), False) == [f"formats_test: {wanting}"]
    for line in (f"skipped: {wanting}", f"skipped in part: {wanting}", f"export: skipped: {wanting}"):
        assert skipped(f"1/1 Testing: a\n{line}\n", False) == [f"a: {line}"], line
    without = "1/1 Testing: a\nskipped: no usable Python environment; launch/setup.sh --oracles makes it\n"
    assert len(skipped(without, False)) == 1 and skipped(without, False, torch=False) == []
    assert skipped("1/1 Testing: a\nskipped: no llama.cpp server; launch/setup.sh --llama builds it\n", False) == []
    assert skipped("1/1 Testing: a\nerror: run launch/setup.sh --oracles\n", False) == []


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        found = skipped(log.read(), "--data" in sys.argv[2:], "--no-torch" not in sys.argv[2:])
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
