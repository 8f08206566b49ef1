#!/usr/bin/env python3
"""run.profile_from: every rank writes a Chrome trace of a window of steps, with the parts of a step and the operations inside; the run is the same."""
import glob
import json
import os
import sys
import tempfile

from tiny_world import World

PARTS = ("step: load", "step: forward", "step: backward", "step: reduce", "step: update")


def events(path):
    return [event for event in json.load(open(path))["traceEvents"] if event.get("ph") == "X"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe = world.recipe(steps=6, expert_steps=4)
        window = ("--set", "run.profile_from=3", "--set", "run.profile_steps=2")
        world.train(recipe, f"{folder}/plain", ranks=2)
        done = world.train(recipe, f"{folder}/traced", *window, ranks=2)
        assert "profile: " in done.stderr, done.stderr
        for stage in ("activate-0-main", "expert-0", "expert-1"):
            assert world.values(f"{folder}/plain", stage) == world.values(f"{folder}/traced", stage), stage
        traces = sorted(os.path.basename(path) for path in glob.glob(f"{folder}/traced/profile/*"))
        # An expert's team has one rank here, whose number is that of the world.
        assert traces == ["activate-main-rank0.json", "activate-main-rank1.json", "expert-0-rank0.json", "expert-1-rank1.json"], traces
        for rank in range(2):
            found = events(f"{folder}/traced/profile/activate-main-rank{rank}.json")
            names = [event["name"] for event in found]
            for part in PARTS:
                assert names.count(part) >= 2, (part, sorted(set(names)))
            assert names.count("step: reduce") == names.count("step: update") == names.count("step: load") == 2
            for operation in ("thinkrec::lora_forward", "thinkrec::lora_backward", "thinkrec::adamw", "aten::mm"):
                assert operation in names, (operation, sorted(set(names)))
            # Operations lie inside the parts: what a part takes is more than any of its operations.
            forward = [event for event in found if event["name"] == "step: forward"]
            inside = [event for event in found if event["name"] == "thinkrec::lora_forward"]
            assert all(any(part["ts"] <= one["ts"] and one["ts"] + one["dur"] <= part["ts"] + part["dur"] + 1 for part in forward) for one in inside)

        # Resumed inside the window, or beyond it.
        world.run("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/beyond", "--stages", "encode,activate", "--set", "run.profile_from=7")
        assert not os.path.exists(f"{folder}/beyond/profile")
        # A trace that cannot be written is a warning.
        os.makedirs(f"{folder}/full")
        open(f"{folder}/full/profile", "w").close()
        done = world.run("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/full", "--stages", "encode,activate", *window)
        assert "could not be written" in done.stderr, done.stderr
        failed = world.run("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/nvtx", *window, "--set", "run.profile_to=nvtx", code=78)
        assert "run.profile_to=trace" in failed.stderr, failed.stderr
    print("profile: passed")


if __name__ == "__main__":
    main()
