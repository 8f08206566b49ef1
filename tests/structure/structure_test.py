#!/usr/bin/env python3
"""Holds the tree to its rules: includes and link lines go one way, headers have #pragma once, kernels know no libtorch, no machine's
paths and no open ends in what is tracked.

  structure_test.py ROOT          check a tree
  structure_test.py --self-test   check that every rule is noticed when broken
"""
import os
import re
import subprocess
import sys
import tempfile

ORDER = ["core", "kernels", "io", "comm", "text", "data", "model", "gpu", "adapters", "encoders", "experts", "eval", "synthesis", "checkpoint", "report",
         "serve", "train", "app"]
HEADERS = (".h", ".cuh")
SOURCES = (".cpp", ".cu") + HEADERS
LIBTORCH = ("ATen", "torch", "c10", "caffe2")
OWN = os.path.join("tests", "structure")  # the planted violations below must not be found


def files(root):
    """Tracked files and those about to be, by git; without a repository (an unpacked archive), all but what builds leave behind."""
    if os.path.exists(os.path.join(root, ".git")):
        # A checkout of another user's, as in a container, is "dubious" to git.
        listed = subprocess.run(["git", "-c", f"safe.directory={os.path.abspath(root)}", "-C", root, "ls-files", "-z", "--cached",
                                 "--others", "--exclude-standard"], capture_output=True, text=True, check=True).stdout
        return sorted(name for name in listed.split("\0") if name and os.path.isfile(os.path.join(root, name)))
    found = []
    for folder, folders, names in os.walk(root):
        inside = os.path.relpath(folder, root)
        folders[:] = [f for f in folders if f != "__pycache__" and not (inside == "." and f in (".deps", "build", "runs", "data", ".cache"))]
        found += [os.path.normpath(os.path.join(inside, name)) for name in names]
    return sorted(found)


def layer_of(path):
    """The library that a file belongs to; None outside src/ and kernels/."""
    parts = path.split(os.sep)
    if parts[0] == "kernels":
        return "kernels"
    return parts[1] if parts[0] == "src" and len(parts) > 1 else None


def right_of(name, layer):
    return name in ORDER and ORDER.index(name) > ORDER.index(layer)


def check_includes(root, path, layer, lines):
    for number, line in lines:
        include = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not include:
            continue
        quoted, target = include.group(1) == '"', include.group(2)
        first = target.split("/")[0]
        if layer == "kernels" and first in LIBTORCH:
            yield f"{path}:{number}: a kernel includes libtorch ({target})"
        if "/" in target and right_of(first, layer):
            yield f"{path}:{number}: {layer} includes {target}, which stands to its right"
        if quoted and not any(os.path.isfile(os.path.join(root, base, target)) for base in ("src", "")):
            yield f'{path}:{number}: "{target}" is not the path of a header from src/ or the root'


def check_links(path, layer, text):
    for name in re.findall(r"\bthinkrec_(\w+)", re.sub(r"#.*", "", text)):
        if right_of(name, layer):
            yield f"{path}: {layer} links {name}, which stands to its right"


def check_words(path, lines):
    for number, line in lines:
        if re.search(r"(^|[^\w.$}])/(home|root|work)/\w", line):
            yield f"{path}:{number}: a path of one machine"
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{path}:{number}: an open end"


def check(root):
    problems = []
    for path in files(root):
        layer = layer_of(path)
        if layer is not None and layer not in ORDER:
            problems.append(f"{path}: '{layer}' is not in the order {' < '.join(ORDER)}")
            continue
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:  # a fixture
            continue
        lines = list(enumerate(text.splitlines(), 1))
        # cmake/ holds the precompiled headers, where a compiler warns of it.
        if path.endswith(HEADERS) and not path.startswith("cmake") and not re.search(r"^#pragma once$", text, re.MULTILINE):
            problems.append(f"{path}: no #pragma once")
        if layer is not None and path.endswith(SOURCES):
            problems += check_includes(root, path, layer, lines)
        if layer not in (None, "app") and os.path.basename(path) == "CMakeLists.txt":  # programs are named like libraries
            problems += check_links(path, layer, text)
        if not path.startswith(OWN) and not path.endswith(".md"):
            problems += check_words(path, lines)
    return problems


BROKEN = [
    # path, its text, what is to be said
    ("src/io/a.h", "int a;\n", "no #pragma once"),
    ("src/io/a.h", "// #pragma once\n", "no #pragma once"),
    ("tests/io/a.h", "int a;\n", "no #pragma once"),
    ("src/io/a.cpp", '#include "train/step.h"\n', "io includes train/step.h, which stands to its right"),
    ("src/io/a.cpp", "  #  include <train/step.h>\n", "io includes train/step.h, which stands to its right"),
    ("src/core/a.cpp", '#include "kernels/b.h"\n', "core includes kernels/b.h"),
    ("kernels/a.cpp", '#include "io/b.h"\n', "kernels includes io/b.h"),
    ("src/report/a.cpp", '#include "train/b.h"\n', "report includes train/b.h"),
    ("src/data/formats/a.cpp", '#include "model/b.h"\n', "data includes model/b.h"),
    ("src/io/a.cpp", '#include "b.h"\n', "is not the path of a header"),
    ("src/io/a.cpp", '#include "../train/b.h"\n', "is not the path of a header"),
    ("kernels/a.cpp", "#include <ATen/ATen.h>\n", "includes libtorch"),
    ("kernels/a.cu", '#include "torch/torch.h"\n', "includes libtorch"),
    ("src/io/CMakeLists.txt", "thinkrec_library(io SOURCES a.cpp LIBS thinkrec_train)\n", "io links train"),
    ("src/eval/CMakeLists.txt", "target_link_libraries(thinkrec_eval PUBLIC thinkrec_report)\n", "eval links report"),
    ("kernels/CMakeLists.txt", "thinkrec_library(kernels SOURCES a.cpp LIBS thinkrec_io)\n", "kernels links io"),
    ("src/strange/a.cpp", "\n", "'strange' is not in the order"),
    ("src/a.cpp", "\n", "'a.cpp' is not in the order"),
    ("src/io/a.cpp", "// TODO later\n", "an open end"),
    ("launch/a.sh", "# FIXME: later\n", "an open end"),
    ("CMakeLists.txt", "# TODO: later\n", "an open end"),
    ("launch/a.sh", "cd /root/x\n", "a path of one machine"),
    ("configs/a.yaml", "data: {path: '/home/me/data.h5'}\n", "a path of one machine"),
    ("a.json", '{"path": "/work/main"}\n', "a path of one machine"),
]

SOUND = {
    "src/train/a.h": '#pragma once\n#include <vector>\n#include "io/b.h"\n#include "kernels/c.h"\n#include "train/d.h"\n',
    "src/io/b.h": "#pragma once\n",
    "kernels/c.h": '#pragma once\n#include "core/e.h"\n',
    "src/train/d.h": "#pragma once\n",
    "src/core/e.h": "#pragma once\n",
    "src/train/CMakeLists.txt": "# not thinkrec_app\nthinkrec_library(train SOURCES a.cpp LIBS thinkrec_report thinkrec_core)\n",
    "src/app/CMakeLists.txt": "thinkrec_program(thinkrec_train SOURCES train_main.cpp LIBS thinkrec_train)\n",
    "launch/a.sh": "mktemp /tmp/a.XXXXXX; cd shared/work/main; ls $HOME/root/x .deps/home/x\n",
    "docs/notes.md": "TODO: /home/me\n",
    "cmake/pch.h": "#include <vector>\n",
    "build/release/a.h": "// TODO\n",
    "tests/io/fixture.bin": b"\xff\xfe /root/x\n",
}


def plant(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def self_test():
    for with_git in (False, True):
        for path, text, expected in BROKEN:
            with tempfile.TemporaryDirectory() as root:
                if with_git:
                    subprocess.run(["git", "init", "-q", root], check=True)
                plant(root, path, text)
                found = check(root)
                assert any(expected in problem for problem in found), f"{path}: '{expected}' was not noticed: {found}"
        with tempfile.TemporaryDirectory() as root:
            if with_git:
                subprocess.run(["git", "init", "-q", root], check=True)
                plant(root, ".gitignore", "/build/\n")
            for path, text in SOUND.items():
                plant(root, path, text)
            assert check(root) == [], check(root)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("structure: every rule notices its violation")
        return 0
    problems = check(sys.argv[1])
    for problem in problems:
        print(problem)
    print(f"structure: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
