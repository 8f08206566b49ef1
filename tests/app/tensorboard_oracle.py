#!/usr/bin/env python3
"""PyPI's tensorboard reads what a run logs, after kill -9 and over a resume: the scalars of metrics.jsonl, every step once.

  tensorboard_oracle.py DEPS PROGRAMS SOURCE      exit code 77: tensorboard is not installed
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

from tiny_world import World

DEPS, PROGRAMS, SOURCE = sys.argv[1:4]


def board(run):
    """{(tag, step): value} as tensorboard has it; a pair that is there twice is an error."""
    done = subprocess.run([f"{DEPS}/oracles/bin/python", f"{SOURCE}/tests/report/tensorboard_oracle.py", f"{run}/tensorboard"], capture_output=True,
                          text=True, timeout=120)
    if done.returncode == 77:
        sys.exit(77)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for line in done.stdout.splitlines():
        tag, step, value = line.rsplit(" ", 2)
        assert (tag, int(step)) not in found, f"{tag} step {step} is there twice"
        found[tag, int(step)] = float(value)
    return found


def log(run):
    """The same of metrics.jsonl."""
    found = {}
    for line in open(f"{run}/metrics.jsonl"):
        row = json.loads(line)
        for key, value in row.items():
            if key in ("stage", "step", "time") or value is None:
                continue
            assert (f"{row['stage']}/{key}", row["step"]) not in found, row
            found[f"{row['stage']}/{key}", row["step"]] = struct.unpack("f", struct.pack("f", value))[0]
    return found


def same(run):
    shown, logged = board(run), log(run)
    assert shown.keys() == logged.keys(), sorted(shown.keys() ^ logged.keys())[:10]
    assert all(abs(shown[at] - logged[at]) <= 1e-6 * max(1, abs(logged[at])) for at in logged)
    return logged


def main():
    if not os.path.exists(f"{DEPS}/oracles/bin/python"):
        print("skipped: no oracle packages here; launch/setup.sh --oracles installs them")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        world = World(PROGRAMS, SOURCE, folder)
        recipe, run = world.recipe(steps=12, expert_steps=6), f"{folder}/run"
        killed = subprocess.run(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, "--inject", "0:8:kill", ranks=2), capture_output=True)
        assert killed.returncode != 0
        before = same(run)
        assert ("activate/main/loss", 7) in before and ("activate/main/loss", 8) not in before, sorted(before)
        world.train(recipe, run, ranks=2)
        after = same(run)
        for stage, steps in (("activate/main", 12), ("expert/0", 6), ("expert/1", 6)):
            for key in ("loss", "bce", "ce", "lr", "grad_norm", "rows_per_s", "tokens_per_s", "peak_share", "wait_share"):
                assert sorted(step for tag, step in after if tag == f"{stage}/{key}") == list(range(1, steps + 1)), (stage, key)
        print(f"tensorboard: {len(before)} scalars after kill -9, {len(after)} in the end")


if __name__ == "__main__":
    main()
