#!/usr/bin/env python3
"""docs/performance.py, scaling.py and roofline.py --check: a page or a picture that is not what the script makes is a failure.

  stale_pages_test.py ROOT
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

DOCS = pathlib.Path(sys.argv[1]) / "docs"
MADE = {"performance.py": ("performance.md", "performance.svg"), "scaling.py": ("scaling.md", "scaling.svg"),
        "roofline.py": ("kernels.md", "roofline.svg")}


def main():
    with tempfile.TemporaryDirectory() as name:
        docs = pathlib.Path(name) / "docs"
        shutil.copytree(DOCS, docs, ignore=shutil.ignore_patterns("results"))
        shutil.copytree(DOCS.parent / "launch", docs.parent / "launch", ignore=shutil.ignore_patterns("__pycache__"))
        for script, made in MADE.items():
            check = lambda: subprocess.run([sys.executable, docs / script, "--check"], capture_output=True, text=True)
            assert check().returncode == 0, (script, check().stderr)
            for page in map(docs.joinpath, made):
                text = page.read_text(encoding="utf-8")
                begin = max(0, text.find("<!-- measured"), text.find("<!-- table"))
                first = next(at for at in range(begin, len(text)) if text[at].isdigit())
                page.write_text(text[:first] + str((int(text[first]) + 1) % 10) + text[first + 1:], encoding="utf-8")
                assert check().returncode != 0, f"{script} takes a changed figure in {page.name}"
                page.write_text(text, encoding="utf-8")
    print("stale pages: found")


if __name__ == "__main__":
    main()
