#!/usr/bin/env python3
"""What the pages name is there: options of programs and scripts, settings of recipes, files, tests.

  words_test.py BUILD ROOT       check the pages
  words_test.py --self-test      check that a wrong word of each kind is noticed
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pages

SECTIONS = "run data model encoder prompt lora projector features mix loss activate valid group expert gate evaluate".split()
# Of other programs, in spans that do not begin with their name.
FOREIGN = {"--nv", "--shm-size", "--gpus", "--exclusive", "--requeue", "--signal", "--nodes", "--gpus-per-node", "--ntasks-per-node", "--no-deps", "--mca", "--preset",
           "--test-dir"}
EXAMPLE = "gelu"  # docs/extending.md adds it
PLACEHOLDER = re.compile(r"[A-Z]{4,}|[<>*{}]|\bK\b|\bNAME\b|\bDIR\b|\.\.\.")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


class Known:
    def __init__(self, build, root):
        self.root = pathlib.Path(root)
        share = tempfile.mkdtemp()
        run(f"{build}/thinkrec_documents", "--share", share)
        self.options = {}  # of each program
        for page in pathlib.Path(share, "man/man1").iterdir():
            text = page.read_text().replace("\\-", "-")
            self.options[page.stem] = set(re.findall(r"--[a-z][a-z0-9-]*", text)) | {"--help", "--help-format", "--version"}
        recipe = pathlib.Path(share, "man/man5/thinkrec_recipe.5").read_text().replace("\\-", "-")
        self.settings = set(re.findall(r"^\\fB([a-z_]+(?:\.[a-z_0-9*]+)+)\\fR$", recipe, re.M))
        self.scripts = {}
        for script in [*self.root.glob("launch/*.sh"), *self.root.glob("launch/*.py"), *self.root.glob("tests/**/*.sh"), *self.root.glob("tests/**/*.py"),
                       *self.root.glob("docs/*.py")]:
            if script.parent.name == "docs" and script.parent.parent.name == "tests":
                continue  # these hold what is wrong on purpose
            self.scripts[str(script.relative_to(self.root))] = set(re.findall(r"--[a-z][a-z0-9-]*", script.read_text()))
        listed = json.loads(run("ctest", "--test-dir", build, "--show-only=json-v1"))
        self.tests = [test["name"] for test in listed["tests"]]
        self.all_options = set().union(*self.options.values(), *self.scripts.values(), FOREIGN)

    def setting(self, name):
        name = re.sub(r"\.\d+\b", ".*", name)
        return name in self.settings or any(known.startswith(name.removesuffix("*").rstrip(".") + ".") for known in self.settings)


def problems(text, known):
    """One line a wrong word."""
    for words in pages.commands(text) + pages.spans(text):
        program = None
        for word in words.split():
            word = word.rstrip(",;")
            name = os.path.basename(word)
            if name in known.options:
                program = known.options[name]
            elif word.removeprefix("./") in known.scripts:
                program = known.scripts[word.removeprefix("./")]
            elif word in ("|", "&&") or re.fullmatch(r"[a-z]+", word) and word in ("ctest", "cmake", "docker", "apptainer", "sbatch", "tensorboard", "curl"):
                program = None
            option = re.match(r"--[a-z][a-z0-9-]*", word)
            if not option:
                continue
            if program is not None and option.group() not in program:
                yield f"`{words}`: {option.group()} is not an option of that program"
            if program is None and words.startswith("-") and option.group() not in known.all_options:
                yield f"`{words}`: no program has {option.group()}"
        for name in re.findall(r"(?<![\w/.-])((?:%s)(?:\.[a-z_0-9*]+)+)(?=$|[=\s,;:)])" % "|".join(SECTIONS), words):
            # h5, md and the like end names of files, not of settings.
            if not re.search(r"\.(h5|md|h|cpp|py|json|yaml|sh|csv|safetensors)$", name) and not known.setting(name):
                yield f"`{words}`: no setting {name}"
        for path in re.findall(r"(?<![\w/.-])((?:src|kernels|tests|launch|slurm|configs|cmake)/[\w./*-]*\w)", words):
            if not PLACEHOLDER.search(words) and EXAMPLE not in path and not list(known.root.glob(path)):
                yield f"`{words}`: no file {path}"
        for pattern in re.findall(r"ctest\b.*-R ('[^']+'|\"[^\"]+\"|\S+)", words):
            pattern = pattern.strip("'\"")
            if not PLACEHOLDER.search(pattern) and not any(re.search(pattern, test) for test in known.tests):
                yield f"`{words}`: no test matches {pattern}"


def held_by_nothing(page, known):
    """Tests that a table's column of tests names and that are not there."""
    column = None
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            column = None
        elif "test" in cells[1:]:
            column = cells.index("test")
        elif column is not None and column < len(cells):
            for name in re.findall(r"`([a-z0-9_]+)`", cells[column]):
                if not any(test == name or re.fullmatch(re.escape(name) + r"_np\d+", test) for test in known.tests):
                    yield f"`{name}`: no such test"


def links(page, text):
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        if not (page.parent / link).exists():
            yield f"link to {link}, which is not there"


def self_test(build, root):
    known = Known(build, root)
    wrong = ["```sh\nthinkrec_train --confg x\n```\n", "`thinkrec_eval --candidates a`", "`--no-such-option`", "`run.sed`", "`--set group.counts=3`",
             "`src/train/nothing.cpp`", "`ctest -R no_such_test`", "```sh\nlaunch/scaling.sh --rank 2\n```\n"]
    for text in wrong:
        assert list(problems(text, known)), f"not noticed: {text}"
    right = ["```sh\nthinkrec_train --config x --set run.seed=3\n```\n", "`--candidates`", "`activate.phases.0.steps`", "`group.count`", "`src/train/NAME.cpp`",
             "`src/train/step.cpp`", "`data.h5`", "`ctest -R structure`", "`sbatch --nodes=8`"]
    for text in right:
        assert not list(problems(text, known)), list(problems(text, known))
    table = "| promise | test | last |\n|---|---|---|\n| `x` | `structure`, `{}` (slow) | `y` |\n\n| a | b |\n|---|---|\n| `z` | `z` |\n"
    assert list(held_by_nothing(table.format("no_such_test"), known)) == ["`no_such_test`: no such test"]
    assert not list(held_by_nothing(table.format("train_step_test"), known))
    page = pathlib.Path(root) / "README.md"
    assert list(links(page, "[x](docs/none.md)")) and not list(links(page, "[x](docs/serving.md#load) [y](https://example.org)"))


def main():
    if sys.argv[1] == "--self-test":
        self_test(*sys.argv[2:])
        print("words: every kind of wrong word is noticed")
        return
    build, root = sys.argv[1:]
    known = Known(build, root)
    found = []
    for page in pages.pages(root):
        text = page.read_text()
        found += [f"{page.relative_to(root)}: {problem}" for problem in [*problems(text, known), *held_by_nothing(text, known), *links(page, text)]]
    for line in found:
        print(line)
    if found:
        sys.exit(f"words: {len(found)} problems")
    print(f"words: {len(pages.pages(root))} pages")


if __name__ == "__main__":
    main()
