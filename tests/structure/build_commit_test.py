#!/usr/bin/env python3
"""What cmake/BuildCommit.cmake writes at each build.  build_commit_test.py CMAKE ROOT"""
import os
import pathlib
import subprocess
import sys
import tempfile

CMAKE, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])


def git(folder, *arguments):
    return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", "-C", str(folder), *arguments],
                          check=True, capture_output=True, text=True).stdout.strip()


def written(source, output):
    subprocess.run([CMAKE, f"-DSOURCE={source}", f"-DOUTPUT={output}", "-P", str(ROOT / "cmake" / "BuildCommit.cmake")], check=True)
    return output.read_text().split('return "')[1].split('"')[0]


def main():
    with tempfile.TemporaryDirectory() as name:
        tree, output = pathlib.Path(name, "tree"), pathlib.Path(name, "out", "build_commit.cpp")
        (tree / "src").mkdir(parents=True)
        (tree / "src" / "a.cpp").write_text("int a;\n")
        assert written(tree, output) == "", "an unpacked archive has no commit"
        git(tree, "init", "-q")
        git(tree, "add", ".")
        git(tree, "commit", "-qm", "one")
        commit = git(tree, "rev-parse", "--short=12", "HEAD")
        assert written(tree, output) == commit
        os.utime(output, (1, 1))
        assert written(tree, output) == commit and output.stat().st_mtime == 1, "it was written again, and all is linked anew"
        (tree / "src" / "a.cpp").write_text("int b;\n")
        assert written(tree, output) == commit + "+changes"
        git(tree, "commit", "-qam", "two")
        later = git(tree, "rev-parse", "--short=12", "HEAD")
        assert written(tree, output) == later != commit
        assert written(tree / "src", output) == "", "the repository around a folder is not its own"
    print("build_commit: passed")


if __name__ == "__main__":
    main()
