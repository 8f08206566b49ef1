#!/usr/bin/env python3
"""launch/scaling.sh on a tiny model, and the page that it writes.  scaling_test.py PROGRAMS ROOT"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
from tiny_world import World  # noqa: E402

PROGRAMS, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()


def run(*command, code=0, **environment):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=500, check=False,
                          env={**os.environ, "THINKREC_PROGRAMS": PROGRAMS, **environment})
    assert done.returncode == code, f"{command}: code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def page_of_known_figures(folder):
    """Efficiencies from figures whose answer is known: the machine is slower in the last repeat, which says nothing of its ranks."""
    folder.mkdir()
    run("python3", ROOT / "docs/scaling.py", folder)
    assert "Not measured yet" in folder.with_suffix(".md").read_text() and "not measured yet" in folder.with_suffix(".svg").read_text()
    (folder / "measured.json").write_text(json.dumps({
        "command": "c", "commit": "d", "load": 0.5, "cores": 2, "cpu": "a cpu",
        "global": [{"ranks": 1, "rows_per_s": [1, 1, 9], "tokens_per_s": [100, 100, 50]},
                   {"ranks": 2, "rows_per_s": [2, 2, 2], "tokens_per_s": [180, 200, 95]}],
        "apart": [{"ranks": 2, "tokens_per_s": [192, 200, 90]}],
        "experts": [{"ranks": 1, "seconds": [20], "teams": 0}, {"ranks": 2, "seconds": [12.5], "teams": 2}]}))
    (folder / "plan.jsonl").write_text('{"sizes":"uniform","groups":2,"ranks":1,"trials":3,"worst":1.04,"mean":1.01,"teams":1.5}\n')
    run("python3", ROOT / "docs/scaling.py", folder)
    page = folder.with_suffix(".md").read_text()
    for line in ("| 1 | 1.00 (1.00-9.00) | 100 (50-100) | 1.00 (1.00-1.00) |",
                 "| 2 | 2.00 (2.00-2.00) | 180 (95-200) | 0.95 (0.90-1.00) | 192 (90-200) | 0.96 (0.90-1.00) | 1.00 (0.94-1.06) |", "| 2 | 2 | 12.5 | 0.80 |",
                 "| 2 | 1.040 (1.5) |"):
        assert line in page, (line, page)
    picture = folder.with_suffix(".svg").read_text()
    assert picture.startswith("<svg") and ">0.95</text>" in picture and ">0.80</text>" in picture


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        page_of_known_figures(folder / "known")
        script = ROOT / "launch" / "scaling.sh"
        for arguments, code, words in ((["--rank", "2"], 64, "unknown argument '--rank'"), (["--steps"], 64, "--steps needs a value"),
                                       (["--ranks", "2,4"], 64, "--ranks 2,4: 1 and more"), (["--steps", "x"], 64, "'x' is not a number")):
            assert words in run(script, *arguments, code=code)
        assert "thinkrec_train is not there" in run(script, code=66, THINKREC_PROGRAMS=name)
        world = World(PROGRAMS, str(ROOT), name)
        recipe = world.recipe()
        results = folder / "scaling"
        assert "the run failed" in run(script, "--config", folder / "none.yaml", "--results", results, code=70)
        assert "no run directory" in run(script, "--report", folder / "none", code=66)
        world.train(recipe, f"{name}/run", "--stages", "encode")
        assert "Not measured yet" in (folder / "run/report.html").read_text()
        run(script, "--config", recipe, "--batch", "4", "--steps", "3", "--repeats", "1", "--results", results, "--report", folder / "run")
        report = (folder / "run/report.html").read_text()
        assert "Not measured yet" not in report and "Efficiency over the number of ranks" in report and "launch/scaling.sh --ranks 1,2" in report
        measured = json.loads((results / "measured.json").read_text())
        assert measured["tokens"] == "computed" and measured["commit"] == json.loads((results / "recorded.json").read_text())["commit"], measured
        assert [row["ranks"] for row in measured["global"]] == [1, 2] == [row["ranks"] for row in measured["experts"]], measured
        assert all(rate > 0 for row in measured["global"] for rate in row["rows_per_s"] + row["tokens_per_s"]), measured
        assert [(row["ranks"], len(row["tokens_per_s"])) for row in measured["apart"]] == [(2, 1)] and measured["apart"][0]["tokens_per_s"][0] > 0, measured
        assert all(row["seconds"][0] > 0 for row in measured["experts"]) and measured["experts"][1]["teams"] == 2, measured
        plan = [json.loads(line) for line in (results / "plan.jsonl").read_text().splitlines()]
        assert len(plan) == 98 and all(1 <= row["mean"] <= row["worst"] <= 1.0501 and row["teams"] >= 1 for row in plan), plan
        assert "Not measured yet" not in (folder / "scaling.md").read_text()
        # launch/simulate.py takes the record: all it still asks for is SimGrid, which is not on this PATH.
        said = run(sys.executable, ROOT / "launch" / "simulate.py", "--results", results, code=1, PATH=name)
        assert "smpirun is not there" in said and not (results / "simulated.json").exists(), said
    print("scaling: passed")


if __name__ == "__main__":
    main()
