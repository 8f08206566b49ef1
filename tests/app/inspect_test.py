#!/usr/bin/env python3
"""thinkrec_inspect --environment: its text, its JSON, and the command lines that it refuses; --prompts: each token with what it is for.

  inspect_test.py BUILD [--without-torch]   with it, no reason is written, as thinkrec_synthesize is not there
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from tiny_world import write_model, write_ratings


def run(inspect, *arguments, code=0, before=""):
    command = ["bash", "-c", f'{before} exec "$0" "$@"', inspect, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done


def prompts(build, inspect, folder):
    write_model(f"{folder}/model")
    write_ratings(f"{folder}/raw")
    subprocess.run([f"{build}/thinkrec_prepare", "--format", "ratings", "--input", f"{folder}/raw", "--output", f"{folder}/data.h5"],
                   check=True, capture_output=True)
    with open(f"{folder}/recipe.yaml", "w") as out:
        out.write(f"data: {{path: {folder}/data.h5}}\nmodel: {{path: {folder}/model}}\nprompt: {{history: 2}}\n"
                  "activate: {phases: [{name: plain, template: text, train: lora}, {name: main, template: thinkrec, train: both}]}\n")
    said = run(inspect, "--prompts", "2", "--config", f"{folder}/recipe.yaml").stdout.splitlines()
    heads = [i for i, line in enumerate(said) if line.startswith("row ")]
    assert len(heads) == 2, said
    first = said[heads[0]:heads[1]]
    count, slots = re.search(r"recommendation: (\d+) tokens, (\d+) of them slots, 1 the answer", first[0]).groups()
    assert len(first) == int(count) + 1 and sum("<slot>" in line for line in first) == int(slots) >= 2, first
    assert first[-1].split()[2] in ('"Yes"', '"No"') and first[-1].endswith("BCE, CE"), first[-1]
    assert not any(line.endswith("CE") for line in first[1:-1]), "the prompt has no loss"
    assert any(re.search(r"- +<slot> +vector of user u\d+$", line) for line in first), first
    assert any(re.search(r"<slot> +vector of item i\d+ for user u\d+$", line) for line in first), first
    text = "".join(json.loads(line.split(maxsplit=2)[2].rsplit("  ", 1)[0]) for line in first[1:] if "<slot>" not in line and not line.endswith("CE"))
    assert "#Answer:" in text, text
    everywhere = run(inspect, "--prompts", "1", "--config", f"{folder}/recipe.yaml", "--set", "loss.span=all").stdout.splitlines()[1:]
    assert sum(line.endswith("CE") for line in everywhere) == sum("<slot>" not in line for line in everywhere[1:]), everywhere
    plain = run(inspect, "--prompts", "1", "--config", f"{folder}/recipe.yaml", "--phase", "plain").stdout
    assert "<slot>" not in plain and plain.startswith("row "), plain
    assert "the recipe's phases are plain, main" in run(inspect, "--prompts", "1", "--config", f"{folder}/recipe.yaml", "--phase", "mian", code=64).stderr
    if "--without-torch" not in sys.argv:
        reason(build, inspect, folder)
    assert "goes with --prompts" in run(inspect, "--config", "quickstart", code=64).stderr
    assert "--config, --set and --phase alone" in run(inspect, "--prompts", "1", "--config", "quickstart", "file.h5", code=64).stderr
    assert "data.path is not set" in run(inspect, "--prompts", "1", "--config", f"{folder}/recipe.yaml", "--set", "data.path=", code=78).stderr
    assert "--config" in run(inspect, "--prompts", "1", code=64).stderr


def reason(build, inspect, folder):
    """A row with its reason: the token loss lies on its whole answer and nowhere else."""
    subprocess.run([f"{build}/thinkrec_synthesize", "reasons", "--data", f"{folder}/data.h5", "--model", f"{folder}/model", "--rows", "1", "--reveal",
                    "--min-words", "1", "--max-new-tokens", "24"], check=True, capture_output=True)
    said = run(inspect, "--prompts", "1", "--config", f"{folder}/recipe.yaml").stdout
    head, *tokens = said[said.rindex("row "):].splitlines()
    count, answer = map(int, re.search(r"reason: (\d+) tokens, \d+ of them slots, (\d+) the answer", head).groups())
    assert len(tokens) == count and answer > 5, said
    assert [line.endswith("CE") for line in tokens] == [False] * (count - answer) + [True] * answer, said
    assert sum("BCE" in line for line in tokens) == 1 and "BCE" in tokens[count - answer], said


def main():
    inspect = os.path.join(sys.argv[1], "thinkrec_inspect")
    text = run(inspect, "--environment").stdout
    for part in ("versions\n", "\nmachine\n", "\ngpus\n", "\nsettings\n", "\nfolder\n", "\nself test\n"):
        assert part in text, f"'{part}' is missing from\n{text}"
    report = json.loads(run(inspect, "--environment", "--json", before="OMP_NUM_THREADS=2").stdout)
    assert report["settings"]["omp_max_threads"] == 2 and report["settings"]["OMP_NUM_THREADS"] == "2", report["settings"]
    assert report["self_test"]["mpi"]["ok"] is True, report["self_test"]
    assert "--environment only" in run(inspect, "--json", code=64).stderr
    assert "goes alone" in run(inspect, "--environment", "file.h5", code=64).stderr
    assert "goes alone" in run(inspect, "--environment", "--encode", code=64).stderr
    assert "did you mean --environment?" in run(inspect, "--enviroment", code=64).stderr
    with tempfile.TemporaryDirectory() as folder:
        for size in (0, 3, 5 << 30):  # of a large file only the first bytes are read
            path = os.path.join(folder, "unknown")
            with open(path, "wb") as file:
                file.truncate(size)
            assert "not a file that thinkrec knows" in run(inspect, path, code=65).stderr
        assert "not a regular file" in run(inspect, folder, code=66).stderr
        prompts(sys.argv[1], inspect, folder)
    if "ASAN_OPTIONS" not in os.environ:  # UBSan needs descriptors of its own
        # Without a free descriptor no part can be tested: the report comes all the same.
        failed = run(inspect, "--environment", code=70, before="ulimit -n 4;")
        assert "self-test failed in matmul, mpi, hdf5" in failed.stderr, failed.stderr
        assert "FAILED  no pipe: Too many open files" in failed.stdout, failed.stdout
    if os.path.exists("/dev/full"):
        assert "cannot be written" in run(inspect, "--environment", code=74, before="exec >/dev/full;").stderr
    print("inspect: environment reported, in text and JSON")


if __name__ == "__main__":
    main()
