#!/usr/bin/env python3
"""The programs behind the figures of the docs start, and say what they promise, on a tiny model and data: nothing of what they say is judged.

  smoke_test.py PROGRAMS ROOT
"""
import json
import os
import sys
import tempfile

PROGRAMS, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, f"{ROOT}/tests/app")
from tiny_world import World  # noqa: E402


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(PROGRAMS, ROOT, folder)
        data, model = f"{folder}/data.h5", f"{folder}/model"

        def run(program, *arguments):
            return world.run(program, *arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout

        assert json.loads(run("bench_data", data, model))["open"]
        cases = json.loads(run("bench_scoring", data, model, "1", "4"))["candidates"]
        assert len(cases) == 2 and all(case["largest_difference"] <= 1e-5 for case in cases), cases
        with open(f"{folder}/prompts.json", "w") as out:
            json.dump([[3, 4, 5], [6, 7]], out)
        for precision in ("fp32", "int8"):
            assert json.loads(run("bench_generate", model, f"{folder}/prompts.json", "3", precision, "1").splitlines()[-1])
        assert len(run("bench_serve", "0", "64").splitlines()) == 4
        assert "groups" in run("bench_plan", "5")
        # A served run, by one client and by several.
        world.train(world.recipe(steps=2, expert_steps=1), f"{folder}/run")
        said = run(f"{ROOT}/tests/bench/serve_load.py", f"{folder}/run", "--programs", PROGRAMS, "--clients", "1,4", "--requests", "8",
                   "--explain", "--", "--max-new-tokens", "4")
        assert [line.split(" | ")[0] for line in said.splitlines()[2:]] == ["| 1", "| 4"], said
    print("the benches run")


if __name__ == "__main__":
    main()
