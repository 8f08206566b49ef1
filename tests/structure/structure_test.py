#!/usr/bin/env python3
"""Holds the tree to its rules: includes and link lines go one way, headers have #pragma once, kernels know no libtorch, no machine's
paths and no open ends in the sources.

  structure_test.py ROOT          check a tree
  structure_test.py --self-test   check that every rule is noticed when broken
"""
import os
import re
import sys
import tempfile

ORDER = ["core", "kernels", "io", "comm", "text", "data", "model", "adapters", "encoders", "experts", "eval", "checkpoint", "report", "train", "app"]
SOURCES = (".cpp", ".h", ".cu", ".cuh")


def files(root):
    for top in ("src", "kernels", "tests", "launch", "cmake", "configs", "slurm", ".ci"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            if "__pycache__" in folder:
                continue
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), root)


def layer_of(path):
    parts = path.split(os.sep)
    if parts[0] == "kernels":
        return "kernels"
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def check(root):
    problems = []
    for path in sorted(files(root)):
        try:
            text = open(os.path.join(root, path), encoding="utf-8").read()
        except UnicodeDecodeError:
            continue
        layer = layer_of(path)
        if layer is not None and layer not in ORDER:
            problems.append(f"{path}: folder '{layer}' is not in the order {' < '.join(ORDER)}")
            continue
        if path.endswith(SOURCES):
            if path.endswith((".h", ".cuh")) and not path.startswith("cmake") and "#pragma once" not in text:  # a precompiled header warns of it
                problems.append(f"{path}: no #pragma once")
            for number, line in enumerate(text.splitlines(), 1):
                include = re.match(r'\s*#include\s+["<]([^">]+)[">]', line)
                if not include or layer is None:
                    continue
                target = include.group(1)
                first = target.split("/")[0]
                if layer == "kernels" and first in ("ATen", "torch", "c10"):
                    problems.append(f"{path}:{number}: a kernel includes libtorch ({target})")
                if '"' in line and first in ORDER and "/" in target and ORDER.index(first) > ORDER.index(layer):
                    problems.append(f"{path}:{number}: {layer} includes {target}, which stands to its right")
        if layer is not None and os.path.basename(path) == "CMakeLists.txt" and layer != "app":
            for name in re.findall(r"thinkrec_(\w+)", text):
                if name in ORDER and ORDER.index(name) > ORDER.index(layer):
                    problems.append(f"{path}: {layer} links {name}, which stands to its right")
        if not path.startswith(os.path.join("tests", "structure")):
            for number, line in enumerate(text.splitlines(), 1):
                if re.search(r"/(home|root|work|farm)/\w", line):
                    problems.append(f"{path}:{number}: a path of one machine")
                if path.endswith(SOURCES + (".py", ".sh")) and re.search(r"\b(TODO|FIXME|XXX)\b", line):
                    problems.append(f"{path}:{number}: an open end")
    return problems


def self_test():
    cases = {
        "src/io/a.h": ("int a;\n", "no #pragma once"),
        "src/io/b.cpp": ('#include "train/step.h"\n', "stands to its right"),
        "kernels/c.cpp": ("#include <ATen/ATen.h>\n", "includes libtorch"),
        "src/io/CMakeLists.txt": ("thinkrec_library(io SOURCES a.cpp LIBS thinkrec_train)\n", "links train"),
        "src/strange/d.cpp": ("\n", "is not in the order"),
        "src/io/e.cpp": ("// TO" + "DO later\n", "an open end"),
        "launch/f.sh": ("cd /ro" + "ot/x\n", "a path of one machine"),
    }
    for path, (text, expected) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)))
            open(os.path.join(root, path), "w").write(text)
            found = check(root)
            assert any(expected in problem for problem in found), f"{path}: '{expected}' was not noticed: {found}"
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "src/train"))
        open(os.path.join(root, "src/train/g.h"), "w").write('#pragma once\n#include "io/file.h"\n')
        assert check(root) == [], check(root)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("structure: every rule notices its violation")
        return 0
    problems = check(sys.argv[1])
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"structure: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
