#!/usr/bin/env python3
"""What is written from the option tables: docs/options.md is up to date, man pages are clean troff, completion completes in bash.

  documents_test.py BUILD ROOT
"""
import os
import shutil
import subprocess
import sys
import tempfile


def run(*command, code=0, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == code, f"{command}: exit code {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done


def completed(file, *words, folder):
    """What bash offers for the last of the words, split as readline splits them."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_$1"; printf "%s\\n" "${COMPREPLY[@]}"'
    return run("bash", "-c", script, "bash", file, *words, cwd=folder).stdout.split()


def main():
    build, root = sys.argv[1:]
    documents = os.path.join(build, "thinkrec_documents")
    with tempfile.TemporaryDirectory() as folder:
        share, page = f"{folder}/share", f"{folder}/options.md"
        run(documents, "--markdown", page, "--share", share)
        with open(page) as new, open(os.path.join(root, "docs", "options.md")) as old:
            assert new.read() == old.read(), "docs/options.md is not what the option tables say: run launch/docs.sh"

        # thinkrec_documents itself.
        assert "--markdown FILE or --share DIR" in run(documents, code=64).stderr
        open(f"{folder}/file", "w").close()
        assert "file" in run(documents, "--share", f"{folder}/file", code=74).stderr
        assert "nowhere" in run(documents, "--markdown", f"{folder}/nowhere/options.md", code=74).stderr

        # Man pages: troff complains of nothing.
        pages = [os.path.join(at, name) for at, _, names in os.walk(f"{share}/man") for name in names]
        completions = f"{share}/bash-completion/completions"
        programs = sorted(os.listdir(completions))
        assert sorted(os.path.basename(p) for p in pages) == sorted([p + ".1" for p in programs] + ["thinkrec_recipe.5"])
        if shutil.which("groff"):
            for path in pages:
                assert run("groff", "-man", "-Tutf8", "-ww", "-z", path).stderr == "", path

        # Every program that is built prints the same, and refuses what it does not know.
        built = [program for program in programs if os.path.exists(os.path.join(build, program))]
        assert "thinkrec_prepare" in built, built
        for program in built:
            binary = os.path.join(build, program)
            assert run(binary, "--help-format", "man").stdout == open(f"{share}/man/man1/{program}.1").read()
            assert run(binary, "--help-format", "completion").stdout == open(f"{completions}/{program}").read()
            assert run(binary, "--help-format", "markdown").stdout in open(page).read()
            assert "did you mean --help?" in run(binary, "--hepl", code=64).stderr

        # Completion.
        os.mkdir(f"{folder}/in")
        for name in ("mine.yaml", "two words.yaml"):
            open(f"{folder}/in/{name}", "w").close()
        for program in programs:
            run("bash", "-n", f"{completions}/{program}")
            assert completed(f"{completions}/{program}", program, "--hel", folder=folder) == ["--help", "--help-format"]

        def train(*words):
            return completed(f"{completions}/thinkrec_train", "thinkrec_train", *words, folder=f"{folder}/in")

        assert train("--re") == ["--resume"]
        assert train("--resume", "") == ["auto", "never"]
        assert train("--resume", "=") == ["auto", "never"]
        assert train("--resume", "=", "n") == ["never"]
        assert train("--validate", "--resu") == ["--resume"]
        assert train("--validate", "=", "t") == ["true"]
        assert train("--config", "m") == ["mine.yaml"]
        assert train("--config", "two") == ["two", "words.yaml"]
        assert train("--config", "quick") == ["quickstart", "quickstart-1h"]
        assert train("--copy-recipe", "recipes/tall") == ["recipes/tallrec"]
        assert train("--set", "run.se") == ["run.seed="]
        assert train("--set", "activate.phases.0.st") == ["activate.phases.0.steps="]
        assert train("--stages", "") == []
        assert train("--unknown", "=", "x") == []
        inspect = completed(f"{completions}/thinkrec_inspect", "thinkrec_inspect", "mi", folder=f"{folder}/in")
        assert inspect == ["mine.yaml"], inspect
    print(f"documents: docs/options.md is up to date; {len(programs)} man pages and completions, {len(built)} programs")


if __name__ == "__main__":
    main()
