#!/usr/bin/env python3
"""What a measurement is made with, as its results name it: the processor and the commits.

  launch/measuring.py --processor  prints the processor's name
  launch/measuring.py PROGRAM      prints the commit of the tree, and that of the program where it was built from another or from changes
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "an unnamed CPU")


def said_by(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    except OSError:
        return ""


def tree_commit():
    """With "-dirty" behind it where files differ: ask before results are written. As cmake/BuildCommit.cmake asks."""
    return said_by(["git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--exclude=*"]).strip() or "unknown"


def program_commit(program):
    """With "+changes" behind it where the sources differed."""
    said = re.search(r"\((\S+)\)", said_by([pathlib.Path(program).absolute(), "--version"]))
    return said.group(1) if said else "unknown"


def same(tree, program):
    """Whether a program was built from the tree's commit, changes of other files aside."""
    tree = tree.removesuffix("-dirty")
    return (program.startswith(tree) or tree.startswith(program)) and not program.endswith("+changes")


def commits(program):
    tree, built = tree_commit(), program_commit(program)
    return tree if same(tree, built) else f"{tree}, programs of {built}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--processor"]:
        print(processor())
        sys.exit()
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 64)
    print(commits(sys.argv[1]))
