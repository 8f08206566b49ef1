#!/usr/bin/env python3
"""thinkrec_tune: a grid over ranks, resumed without doing a trial twice, chosen on the valid rows; and what it refuses."""
import glob
import json
import os
import re
import sys
import tempfile

from tiny_world import World


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe, out = world.recipe(), f"{folder}/tune"
        grid = ("--config", recipe, "--output", out, "--learning-rates", "1e-3,1e-2", "--widths", "4,8", "--seeds", "2")
        first = world.run("thinkrec_tune", *grid, ranks=2)
        tests = sorted(glob.glob(f"{out}/trials/*.test.json"))
        files = sorted(set(glob.glob(f"{out}/trials/*.json")) - set(tests))
        assert (len(files), len(tests)) == (8, 2), files  # of the chosen point alone
        trials = [json.load(open(file)) for file in files]
        assert not any("test" in trial for trial in trials)
        points = {}
        for trial in trials:
            valid = trial["valid"]
            points.setdefault((trial["learning_rate"], trial["width"]), []).append(valid["auc"] / 4 + valid["uauc"] / 3)
        best = max(points, key=lambda point: sum(points[point]) / 2)
        chosen = next(line for line in first.stdout.splitlines() if line.rstrip().endswith("*"))
        assert f"lr={best[0]:g} width={best[1]} " in chosen, (best, first.stdout)
        scored = {file[:-5] + ".test.json" for file, trial in zip(files, trials) if (trial["learning_rate"], trial["width"]) == best}
        assert scored == set(tests), (scored, tests)
        test = [json.load(open(file))["test"]["auc"] for file in tests]
        assert float(re.search(r"test: AUC ([0-9.]+)", first.stdout).group(1)) == round(sum(test) / 2, 4), first.stdout

        told = json.load(open(f"{out}/chosen.json"))
        assert (told["learning_rate"], told["width"], told["seeds"]) == (*best, 2) and abs(told["test"]["auc"] - sum(test) / 2) < 1e-12, told

        assert told["test"]["auc_ci"][0] < told["test"]["auc"] < told["test"]["auc_ci"][1] and set(told["difference"]) == {"item_mean", "logistic"}, told

        # What is there is not done again, on any number of ranks; what is gone is.
        os.remove(files[3])
        stamps = {file: os.stat(file).st_mtime_ns for file in files if file != files[3]}
        again = world.run("thinkrec_tune", *grid, ranks=1)
        assert again.stdout == first.stdout, again.stdout
        assert all(os.stat(file).st_mtime_ns == stamp for file, stamp in stamps.items())
        # Another recipe is another trial.
        world.run("thinkrec_tune", *grid[:4], "--seeds", "2", "--set", "encoder.dropout=0.1")
        assert len(glob.glob(f"{out}/trials/*.json")) == 14  # one point, two seeds, with their test rows

        open(files[0], "w").write("{}")
        bad = world.run("thinkrec_tune", *grid, code=65)
        assert "not a trial; delete it" in bad.stderr, bad.stderr
        for arguments, words in ((("--widths", "4,x"), "'x' is no number"), (("--widths", "-4"), "no number of at least 0")):
            bad = world.run("thinkrec_tune", "--config", recipe, "--output", out, *arguments, code=64)
            assert words in bad.stderr, bad.stderr
        bad = world.run("thinkrec_tune", "--config", recipe, "--output", f"{recipe}/x", code=74)
        assert "cannot make the folder" in bad.stderr, bad.stderr
    print("tune: passed")


if __name__ == "__main__":
    main()
