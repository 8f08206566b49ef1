#!/usr/bin/env python3
"""launch/performance.py on the smallest yardstick, and the page that it writes.  performance_test.py PROGRAMS ROOT"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAMS, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
SCRIPT = ROOT / "launch" / "performance.py"
sys.path.insert(0, str(ROOT / "tests" / "bench" / "yardstick"))
from compare import in_turn, ratios  # noqa: E402


def run(*command, code=0, **environment):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=500, check=False,
                          env={**os.environ, **environment})
    assert done.returncode == code, f"{command}: code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def program(path, result):
    """A program that prints `result`, as a command."""
    path.write_text(f"#!/bin/sh\necho '{result if isinstance(result, str) else json.dumps(result)}'\n")
    path.chmod(0o755)
    return [str(path)]


def refusals(folder):
    assert "no part 'speed'" in run(sys.executable, SCRIPT, "speed", code=64)
    assert "thinkrec_bench is not there" in run(sys.executable, SCRIPT, "--programs", folder, code=66)
    fair = {"samples_per_s": 1e9, "tokens_per_s": 2, "tokens_per_cpu_s": 2, "losses": [1, 1], "batch": 8, "step_seconds": [9, 1],
            "step_cpu_s": [9, 1], "step_tokens": [4, 4]}
    peer = program(folder / "peer", {**fair, "samples_per_s": 5e8, "tokens_per_cpu_s": 1, "step_seconds": [9, 3], "step_cpu_s": [9, 4]})
    for wrong, words in (({**fair, "losses": [1, 1.01]}, "losses differ by 1.0e-02"), ({**fair, "losses": [1]}, "losses are missing"),
                         ({**fair, "losses": [1, float("nan")]}, "not finite"), ("nothing", "no JSON line"),
                         ({**fair, "samples_per_s": 1e-3}, "the process took")):
        try:
            in_turn({"ours": program(folder / "ours", wrong), "peer": peer}, 8, 1, 2e-4, lambda text: None)
        except SystemExit as end:
            assert words in str(end), (words, end)
        else:
            raise AssertionError(f"taken: {wrong}")
    runs = in_turn({"ours": program(folder / "ours", fair), "peer": peer}, 8, 2, 2e-4, lambda text: None)
    found = ratios(runs["ours"], runs["peer"])
    assert found["speed"] == [2, 2] == found["cpu_speed"] and found["loss_difference"] == 0, found
    later = ratios(runs["ours"], runs["peer"], 1)
    whole = ratios(runs["ours"], runs["peer"], 0)
    assert whole["cpu_speed"] == [13 / 10] * 2, "steps that take longer count by what they take"
    assert later["speed"] == [3, 3] and later["cpu_speed"] == [4, 4] and later["ours"][0]["samples_per_s"] == 8, later


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        refusals(folder)
        results = folder / "performance"
        results.mkdir()
        run(sys.executable, ROOT / "docs/performance.py", results)
        page = results.with_suffix(".md").read_text()
        assert page.count("*Not measured yet*") == 8 and "not measured yet" in results.with_suffix(".svg").read_text(), page
        results.with_suffix(".md").write_text("no marks\n")
        assert "has not its two marks" in run(sys.executable, ROOT / "docs/performance.py", results, code=1)
        results.with_suffix(".md").unlink()
        if not (ROOT / ".deps/oracles/.torch").exists():
            print("performance: skipped, no Python that loads torch (launch/setup.sh --oracles)")
            sys.exit(77)
        parts = ("global", "expert", "together", "floor", "shared", "checkpointing")
        run(sys.executable, SCRIPT, *parts, "--programs", PROGRAMS, "--results", results, "--yards", "tiny", "--threads", "1", "--pairs", "1")
        page = results.with_suffix(".md").read_text()
        assert "passes of 4,096 tokens" not in page, "thinkrec_bench says what its passes are"
        for together in json.loads((results / "together-tiny-1.json").read_text())["figures"]:
            assert together["loss_difference"] <= 1e-5 and together["ratio"][0] > 0, together
        # A bench whose fourth expert, at once with others, learns something else.
        line = '{"samples_per_s": 1e9, "peak_rss_gb": 1, "losses": %s}'
        other = folder / "thinkrec_bench"
        other.write_text(f"#!/bin/sh\ncase $* in *--experts*) echo '{line % '[[1], [1], [1], [1.1]]'}' ;; *) echo '{line % '[1]'}' ;; esac\n")
        other.chmod(0o755)
        refused = run(sys.executable, SCRIPT, "together", "--programs", folder, "--results", folder / "other", "--yards", "tiny", "--threads", "1",
                      "--pairs", "1", code=1)
        assert "losses differ from those of training alone by 1.0e-01" in refused, refused
        assert page.count("*Not measured yet*") == 2 and page.count("--yards tiny") == len(parts), page
        for words in ("| tiny | 1 | global stage |", "| tiny | 1 | nothing cached |", "| tiny | 1 | global | **", "| tiny | 1 | 8 |",
                      "global --yards tiny --threads 1 --pairs 1`"):
            assert words in page, (words, page)
        figures = json.loads((results / "expert-tiny-1.json").read_text())["figures"]
        assert [run["kind"] for run in figures] == ["from the first step", "after the first pass", "nothing cached"], figures
        assert all(run["loss_difference"] < 1e-4 for run in figures), figures
        stamp = (results / "global-tiny-1.json").stat().st_mtime_ns
        again = run(sys.executable, SCRIPT, "global", "--programs", PROGRAMS, "--results", results, "--yards", "tiny", "--threads", "1")
        assert "performance: launch" not in again, again
        assert stamp == (results / "global-tiny-1.json").stat().st_mtime_ns
    print("performance: passed")


if __name__ == "__main__":
    main()
