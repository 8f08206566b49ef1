#!/usr/bin/env python3
"""Faults on purpose (--inject): the job ends in time, says who, where and in which collective, and the same command then ends with the
weights of a run that was never disturbed. What is not finite is never taken in."""
import os
import subprocess
import sys
import tempfile
import time

from tiny_world import World

LIMIT = 6


def disturbed(world, recipe, run_dir, fault):
    """Exit code, seconds from the fault to the end, standard error."""
    command = world.command("thinkrec_train", "--config", recipe, "--run-dir", run_dir, "--inject", fault, "--set", f"run.watchdog={LIMIT}",
                            "--set", f"run.watchdog_quiet={LIMIT}", ranks=2)
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    text, began = "", None
    for line in job.stderr:
        text += line
        if "--inject" in line and began is None:
            began = time.monotonic()
    code = job.wait(timeout=60)
    assert began is not None, text
    return code, time.monotonic() - began, text


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe = world.recipe()
        calm = f"{folder}/calm"
        world.train(recipe, calm, ranks=2)
        stages = sorted(os.listdir(f"{calm}/checkpoints"))
        wanted = [world.values(calm, stage) for stage in stages]
        for fault, codes, words in (("1:3:stop", (71,), ["rank 1 (process", "is stopped or gone", "activate/main step 3", "collective #"]),
                                    ("0:4:loop", (71,), ["rank 0 (process", "runs on without getting anywhere", "activate/main step 4", "collective #"]),
                                    ("1:3:kill", (137,), []), ("0:10:kill", (137,), []), ("1:5:error", (70,), ["--inject: an error at step 5"])):
            run = f"{folder}/{fault.replace(':', '-')}"
            code, seconds, text = disturbed(world, recipe, run, fault)
            assert code in codes, (fault, code, text[-3000:])
            assert seconds < LIMIT + 5, (fault, seconds)  # limit + 3 s on a quiet machine
            for word in words:
                assert word in text, (fault, word, text[-3000:])
            if code == 71:
                records = [name for name in os.listdir(f"{run}/watch") if name.startswith("flight-")]
                assert records and "all_reduce_sum" in open(f"{run}/watch/{records[0]}").read(), records
            print(f"{fault}: code {code} after {seconds:.1f} s", flush=True)
            world.train(recipe, run, ranks=2)
            assert [world.values(run, stage) for stage in stages] == wanted, fault
        for kind in ("nan-loss", "nan-gradient", "inf-gradient", "nan-input"):
            run = f"{folder}/{kind}"
            done = world.train(recipe, run, "--inject", f"1:2:{kind}", ranks=2)
            assert "activate/main step 2: loss" in done.stderr and "the step was skipped" in done.stderr, done.stderr
            assert world.values(run, stages[0]) != wanted[0]
            world.train(recipe, f"{run}-none", "--inject", f"1:2:{kind}", "--set", "run.skip_nonfinite=0", ranks=2, code=76)
        # A weight that is not finite stays so: the run ends, no checkpoint has it, and the same command goes on from the last one.
        for rank in (0, 1):
            run = f"{folder}/nan-weight-{rank}"
            done = world.train(recipe, run, "--inject", f"{rank}:5:nan-weight", ranks=2, code=76)
            assert "steps in a row were not finite" in done.stderr, done.stderr
            world.train(recipe, run, ranks=2)
            assert [world.values(run, stage) for stage in stages] == wanted, rank
        for fault, words in (("1:2", "RANK:STEP:KIND"), ("x:2:kill", "ranks count from 0"), ("0:0:kill", "steps from 1"), ("0:1:kil", "did you mean 'kill'")):
            assert words in world.train(recipe, f"{folder}/none", "--inject", fault, code=64).stderr
    print("faults: passed")


if __name__ == "__main__":
    main()
