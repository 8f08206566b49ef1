#!/usr/bin/env python3
"""Mutation gate for the kernels: does their test notice a lost barrier, or a bound that is off by one?

In the device code of each file (the bodies after THINKREC_KERNEL and THINKREC_DEVICE) every __syncthreads(); and __syncwarp(...);
is deleted in turn, and every bound check is moved by one (` < ` to ` <= `, ` >= ` to ` > `; comparisons with 0 or with a fraction
are no bounds). Each mutated copy is compiled with the file's test and run; a mutant whose test still passes has survived, and that
fails the gate. A line that is right either way says so at its end, and is left alone:
    for (...; i < n; ...)  // mutate: equivalent, because element n is padding

  mutate.py --mutate kernels/cuda/rms_norm.cu --compile 'g++ ... -x c++ {source} -x none {stem}_test.o -o {output}' --run '{output}'

{source} is the file to compile, {stem} its name without folder and ending, {output} a fresh path. {tree} is a folder which holds the
mutated file under its own path: with -I{tree} ahead of -I. a header is mutated as well. Limits: text, not C++ (clang-format's spaces
tell a comparison from a template); a mutant which does not compile counts as killed. Compile with ASan: without it a read beyond
global memory goes unseen, and its mutant survives.

Exit status: 0 all killed, 1 a mutant survived, 2 the test fails without a mutation, or a mark stands on a line with nothing to mutate.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

BARRIER = re.compile(r"__sync(?:threads|warp)\s*\([^;]*\)\s*;")
COMPARISON = re.compile(r"(?<=\s)(<|>=)(?=\s+(\S+))")
NO_SIZE = re.compile(r"[-+]?(?:0|\d*\.\d*f?|\d+e[-+]?\d+f?)[;),]*$")
MARK = re.compile(r"//\s*mutate: equivalent, because \S")
BAD_MARK = re.compile(r"//\s*mutate:")


@dataclasses.dataclass(frozen=True)
class Mutant:
    path: pathlib.Path
    line: int
    begin: int
    end: int
    text: str
    what: str


def without_comments(text):
    """The same text, with comments, strings and preprocessor lines blanked, position for position."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def device_ranges(code):
    """Where the bodies of kernels and device functions begin and end."""
    for start in re.finditer(r"\bTHINKREC_(?:KERNEL|DEVICE)\b", code):
        begin = code.find("{", start.end())
        semicolon = code.find(";", start.end())
        if begin < 0 or 0 <= semicolon < begin:  # only declared
            continue
        depth = 0
        for end in range(begin, len(code)):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            if depth == 0:
                yield begin, end + 1
                break


def mutants_of(path):
    """The mutants of a file, and the complaints about its marks."""
    text = path.read_text()
    code = without_comments(text)
    lines = text.split("\n")
    found, complaints, used = [], [], set()

    def add(begin, end, replacement, what):
        line = text.count("\n", 0, begin) + 1
        if MARK.search(lines[line - 1]):
            used.add(line)
        else:
            found.append(Mutant(path, line, begin, end, replacement, f"{what}: {lines[line - 1].strip()}"))

    for begin, end in device_ranges(code):
        for match in BARRIER.finditer(code, begin, end):
            add(match.start(), match.end(), ";", f"delete {match.group()}")
        for match in COMPARISON.finditer(code, begin, end):
            if NO_SIZE.match(match.group(2)):
                continue
            other = {"<": "<=", ">=": ">"}[match.group(1)]
            add(match.start(1), match.end(1), other, f"{match.group(1)} to {other}")
    for number, line in enumerate(lines, 1):
        if BAD_MARK.search(line) and number not in used:
            why = "nothing to mutate here" if MARK.search(line) else "say `// mutate: equivalent, because ...`"
            complaints.append(f"{path}:{number}: {why}: {line.strip()}")
    return sorted(set(found), key=lambda mutant: mutant.begin), complaints


def killer(status, output):
    """What noticed the mutation, in a few words."""
    for pattern in (r"simt: kernel [^\n]*", r"AddressSanitizer: [\w-]+", r"runtime error: [^\n]*", r"\[  FAILED  \] [^\n]*"):
        match = re.search(pattern, output)
        if match:
            return match.group()[:150]
    return f"exit status {status}"


class Gate:
    def __init__(self, compile_command, run_command, timeout):
        self.compile_command = compile_command
        self.run_command = run_command
        self.timeout = timeout

    def shell(self, command, timeout):
        try:
            done = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace", timeout=timeout)
            return done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            return None, ""

    def verdict(self, path, text):
        """Who kills this text of the file, or None when compiler and test are content; and what they said."""
        with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
            inside = path.resolve().relative_to(pathlib.Path.cwd()) if path.resolve().is_relative_to(pathlib.Path.cwd()) else path.name
            source = pathlib.Path(folder, "tree", inside)
            source.parent.mkdir(parents=True)
            source.write_text(text)
            names = {"source": source, "stem": path.stem, "output": f"{folder}/mutant", "tree": f"{folder}/tree"}
            status, output = self.shell(self.compile_command.format(**names), None)
            if status != 0:
                return "the compiler", output
            status, output = self.shell(self.run_command.format(**names), self.timeout)
            if status is None:
                return f"time out after {self.timeout} s", output
            return (None if status == 0 else killer(status, output)), output

    def mutant(self, mutant):
        text = mutant.path.read_text()
        return self.verdict(mutant.path, text[: mutant.begin] + mutant.text + text[mutant.end :])[0]


def chosen(mutants, number, commit):
    """`number` of the mutants, or all where there are fewer, by the hash of a commit."""
    few = random.Random(commit).sample(mutants, min(number, len(mutants)))
    return sorted(few, key=lambda mutant: (mutant.path, mutant.begin))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutate", nargs="+", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--compile", help="shell command with {source} {stem} {output} {tree}")
    parser.add_argument("--run", default="{output}", help="shell command, same names (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds a run may take (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs=2, default=os.environ.get("THINKREC_MUTANTS", "").split() or None, metavar=("NUMBER", "COMMITHASH"),
                        help="only so many mutants, chosen by this hash (default: THINKREC_MUTANTS, else all)")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    args = parser.parse_args(argv)
    if not args.list and not args.compile:
        parser.error("--compile is missing")

    mutants, complaints = [], []
    for path in args.mutate:
        more, wrong = mutants_of(path)
        mutants += more
        complaints += wrong
        print(f"{path}: {len(more)} mutants", flush=True)
    print("".join(complaint + "\n" for complaint in complaints), end="")
    if complaints:
        return 2
    if args.only:
        mutants = chosen(mutants, int(args.only[0]), args.only[1])
    if args.list:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.line}: {mutant.what}")
        return 0

    if not mutants:  # a gate that breaks nothing holds nothing
        print("there is nothing to mutate")
        return 2
    gate = Gate(args.compile, args.run, args.timeout)
    for path in args.mutate:
        by, output = gate.verdict(path, path.read_text())
        if by is not None:
            print(f"{path}: fails without a mutation: {by}\n{output[-3000:]}")
            return 2
    survivors = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for mutant, by in zip(mutants, pool.map(gate.mutant, mutants)):
            survivors += by is None
            print(f"{mutant.path}:{mutant.line}: {mutant.what}\n    {'SURVIVED' if by is None else 'killed by ' + by}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
