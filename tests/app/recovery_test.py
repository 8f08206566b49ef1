#!/usr/bin/env python3
"""Runs that are resumed after every step and on other numbers of ranks, on a slow disk and in odd surroundings: the weights are those of a run
that never stopped. What status.json and diverged.json say of an end.

  recovery_test.py PROGRAMS SOURCE SHIM     SHIM: crash_shim of tests/checkpoint
"""
import contextlib
import json
import os
import re
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time

from tiny_world import World, losses, metrics

STAGE, STAGES = "activate-0-main", ("--stages", "encode,activate")
EVERY_STEP = ("--set", "run.checkpoint_every=1", "--set", "run.keep_last=1000")


def status(run_dir):
    return json.load(open(os.path.join(run_dir, "status.json")))


def resumed_at_every_step(world, folder):
    recipe = world.recipe("every", steps=20)
    whole = f"{folder}/whole"
    world.train(recipe, whole, *STAGES, *EVERY_STEP, ranks=2)
    wanted, wanted_losses = world.values(whole, STAGE), losses(whole, "activate/main")
    steps = {name for name in os.listdir(f"{whole}/checkpoints/{STAGE}")}
    assert steps == {f"step-{k}" for k in range(1, 21)}, steps
    for k in range(1, 21):
        run = f"{folder}/from-{k}"
        shutil.copytree(whole, run)
        for later in range(k + 1, 21):
            shutil.rmtree(f"{run}/checkpoints/{STAGE}/step-{later}")
        done = world.train(recipe, run, *STAGES, ranks=2)
        assert k == 20 or f"resumed at step {k} of 20" in done.stderr, done.stderr  # the 20th is the last: nothing is left to do
        assert world.values(run, STAGE) == wanted, f"resumed at step {k}: other weights"
        assert losses(run, "activate/main") == wanted_losses, k
        shutil.rmtree(run)
    print("resumed at every step: the same bits", flush=True)


def on_other_numbers_of_ranks(world, folder):
    for mode in ("strict", "fast"):
        recipe = world.recipe(f"elastic-{mode}", steps=20, deterministic=mode)
        still, moved = f"{folder}/{mode}-still", f"{folder}/{mode}-moved"
        world.train(recipe, still, "--stages", "encode", ranks=2)  # its rounding follows the ranks; here the LLM's training is looked at
        shutil.copytree(still, moved)
        world.train(recipe, still, *STAGES, ranks=2)
        for ranks in (4, 2, 1):
            world.train(recipe, moved, *STAGES, *EVERY_STEP, "--inject", "0:6:kill", ranks=ranks, code=137)
        done = world.train(recipe, moved, *STAGES, ranks=3)
        assert "resumed at step 1" in done.stderr, done.stderr
        a, b = metrics(still, "activate/main"), metrics(moved, "activate/main")
        assert sorted(a) == sorted(b) == list(range(1, 21))
        worst = max(abs(a[s]["loss"] - b[s]["loss"]) / abs(a[s]["loss"]) for s in a)
        if mode == "strict":
            assert world.values(still, STAGE) == world.values(moved, STAGE) and worst == 0, worst
        assert worst <= 1e-6, worst
        print(f"{mode}, 4, 2, 1 and 3 ranks: losses differ by {worst:.1e}", flush=True)


def experts_that_share_batches(world, folder):
    """Two experts on one rank train in the same batches. A run that ended between their saves goes on from a step that both have."""
    recipe, every = world.recipe("together", steps=2, expert_steps=20), ("--set", "run.checkpoint_every=5", "--set", "run.keep_last=1000")
    whole = f"{folder}/together"
    world.train(recipe, whole, *every, "--stages", "encode,activate,group,expert")
    names = ("expert-0", "expert-1")
    wanted = [world.values(whole, name) for name in names]
    wanted_losses = [losses(whole, name.replace("-", "/")) for name in names]
    # By expert the saves that are there, and the step that it goes on from; 20: it is finished.
    cases = (((5, 10, 15, 20), (5, 10, 15), (15, 15)), ((5, 10), (5, 10, 15), (10, 10)), ((), (5,), (0, 0)),
             ((10, 15, 20), (5,), (20, 5)), ((), (5, 10, 15, 20), (0, 20)), ((5, 10), (), (10, 0)))
    for number, (*saves, steps) in enumerate(cases):
        run = f"{folder}/together-{number}"
        shutil.copytree(whole, run)
        for name, there in zip(names, saves):
            for step in {5, 10, 15, 20} - set(there):
                shutil.rmtree(f"{run}/checkpoints/{name}/step-{step}")
        done = world.train(recipe, run, *every, "--stages", "expert")
        resumed = [re.search(rf"expert/{expert}: resumed at step (\d+) of 20", done.stderr) for expert in (0, 1)]
        assert [int(line[1]) if line else 0 for line in resumed] == [step % 20 for step in steps], (saves, done.stderr)
        found = [losses(run, name.replace("-", "/")) for name in names]
        assert [sorted(one) for one in found] == [list(range(1, 21))] * 2, (saves, found)
        if steps[0] == steps[1]:
            assert [world.values(run, name) for name in names] == wanted and found == wanted_losses, (saves, done.stderr)
        shutil.rmtree(run)
    print("experts of one team whose saves are of different steps: the same bits where both have one step", flush=True)


def trained_on_something_else(world, folder):
    """What a phase learns from is not replaced behind its back: the encoder, the reasons."""
    recipe, stages = world.recipe("sources", steps=8), ("--stages", "encode,activate")
    run, half = f"{folder}/sources", f"{folder}/sources-half"
    world.train(recipe, run, *stages, *EVERY_STEP)
    shutil.copytree(run, half)
    shutil.rmtree(f"{half}/checkpoints/{STAGE}/step-8")
    shutil.rmtree(f"{half}/checkpoints/encode")
    done = world.train(recipe, half, *stages, ranks=2, code=65)
    assert "was trained with another encoder than checkpoints/encode holds" in done.stderr, done.stderr
    shutil.rmtree(f"{half}/checkpoints/encode")
    world.train(recipe, half, *stages)  # on one rank it becomes what it was
    assert world.values(half, STAGE) == world.values(run, STAGE)

    shutil.rmtree(f"{half}/checkpoints/{STAGE}/step-8")
    data, kept = f"{folder}/data.h5", f"{folder}/kept.h5"
    shutil.copyfile(data, kept)
    world.run("thinkrec_prepare", "--format", "ratings", "--input", f"{folder}/raw", "--output", data)
    world.run("thinkrec_synthesize", "reasons", "--data", data, "--model", f"{folder}/model", "--rows", "4")
    done = world.train(recipe, half, *stages, code=65)
    assert "step 7 was trained with other reasons than the data set has now" in done.stderr, done.stderr
    before = world.values(run, STAGE)
    done = world.train(recipe, run, *stages)
    assert "trained with other reasons" in done.stderr and world.values(run, STAGE) == before, done.stderr
    shutil.copyfile(kept, data)
    print("another encoder, other reasons: refused, or said where the phase is finished", flush=True)


def on_a_slow_disk(world, folder, shim):
    recipe = world.recipe("slow", steps=400)
    run, every = f"{folder}/slow", 380
    delay = 2000
    environment = {**os.environ, "LD_PRELOAD": shim, "CRASH_FOLDER": f"{run}/checkpoints", "SLOW_FSYNC_MS": str(delay)}
    world.run("thinkrec_train", "--config", recipe, "--run-dir", run, *STAGES, "--set", f"run.checkpoint_every={every}", "--set",
              "activate.phases.0.validate_every=0", env=environment)
    rows = metrics(run, "activate/main")
    gaps = {s: rows[s]["time"] - rows[s - 1]["time"] for s in range(2, 401)}
    usual = statistics.median(gaps.values())
    # Asserted here: no step beside the save waits for one of its four fsyncs (each takes at most half of an fsync's two seconds longer than
    # usual, which leaves room for a busy machine), and half of these steps take less than twice as long as usual.
    beside = [gaps[s] for s in range(every + 1, 401)]
    assert max(beside) - usual < delay / 2000 and statistics.median(beside) < 2 * usual, (beside, usual)
    taken = os.path.getmtime(f"{run}/checkpoints/{STAGE}/step-{every}/MANIFEST.json") - rows[every]["time"]
    assert taken > 0.9 * delay / 1000, f"the disk was not slow: {taken} s"
    print(f"slow disk: the step after a save took {beside[0]:.3f} s, the slowest beside it {max(beside):.3f} s, usually {usual:.3f} s", flush=True)
    # That a save delays training by less than a step: over many saves, since one step among hundreds may be slow for any reason. Each syncs
    # for longer than several steps.
    run, every, delay = f"{folder}/saves", 40, 100
    environment.update(CRASH_FOLDER=f"{run}/checkpoints", SLOW_FSYNC_MS=str(delay))
    world.run("thinkrec_train", "--config", recipe, "--run-dir", run, *STAGES, "--set", f"run.checkpoint_every={every}", "--set",
              "activate.phases.0.validate_every=0", env=environment)
    rows = metrics(run, "activate/main")
    gaps = {s: rows[s]["time"] - rows[s - 1]["time"] for s in range(2, 401)}
    usual, after = statistics.median(gaps.values()), statistics.median(gaps[s + 1] for s in range(every, 400, every))
    print(f"saves: the step after one takes {after * 1e3:.1f} ms, any step {usual * 1e3:.1f} ms (medians)", flush=True)
    assert after < 2 * usual, (after, usual)


def while_the_clock_jumps(world, folder, shim):
    """An hour forward, a day back, again and again: no alarm of the watchdog, nothing lost, the same weights."""
    recipe = world.recipe("clock", steps=100)
    runs = {}
    for name, more in (("steady", {}), ("jumping", {"LD_PRELOAD": shim, "CLOCK_JUMPS": "1"})):
        runs[name] = f"{folder}/clock-{name}"
        done = world.run("thinkrec_train", "--config", recipe, "--run-dir", runs[name], *STAGES, "--set", "run.watchdog=20", ranks=2,
                         env={**os.environ, **more})
        assert "has waited" not in done.stderr, done.stderr
    times = [row["time"] for _, row in sorted(metrics(runs["jumping"], "activate/main").items())]
    jumps = sum(abs(b - a) > 1800 for a, b in zip(times, times[1:]))
    assert len(times) == 100 and jumps > 1, f"{jumps} jumps: is the shim in use?"
    assert world.values(runs["steady"], STAGE) == world.values(runs["jumping"], STAGE)
    print(f"the clock jumped {jumps} times: the same bits", flush=True)


def in_odd_surroundings(world, folder):
    recipe = world.recipe("odd", steps=3, expert_steps=2)
    long_name = "n" * 255
    odd = os.path.join(os.fsencode(folder), b"caf\xe9 \xff", long_name.encode())
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    full = f"{folder}/full-tmp"
    os.makedirs(full)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full], stderr=subprocess.DEVNULL).returncode == 0
    if mounted:
        with open(f"{full}/filler", "wb", buffering=0) as out, contextlib.suppress(OSError):
            while out.write(b"x" * 4096):
                pass
    else:
        print("SKIPPED: a full folder for temporary files (no right to mount here); it is one that is not there", flush=True)
    environment.update(TMPDIR=full if mounted else "/nonexistent", TZ="Nowhere/Land", LC_ALL="C")
    before = os.umask(0o077)
    try:
        world.run("thinkrec_train", "--config", recipe, "--run-dir", odd, env=environment)
    finally:
        os.umask(before)
        if mounted:
            subprocess.run(["umount", full], check=True)
    for place, folders, names in os.walk(odd):
        for name in folders + names:
            mode = stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode)
            assert mode & 0o077 == 0, (os.path.join(place, name), oct(mode))
    assert json.load(open(os.path.join(odd, b"status.json")))["state"] == "done"
    print("odd surroundings: passed", flush=True)


def how_it_ended(world, folder):
    recipe = world.recipe("ends")
    run = f"{folder}/ends"
    world.train(recipe, run, *STAGES, "--set", "run.skip_nonfinite=0", "--inject", "0:3:nan-loss", code=76)
    said = status(run)
    assert (said["state"], said["stage"], said["step"], said["code"]) == ("failed", "activate/main", 3, 76), said
    assert "diverged.json" in said["reason"], said
    dump = json.load(open(f"{run}/diverged.json"))
    assert dump["stage"] == "activate/main" and dump["step"] == 3 and len(dump["rows"]) == 6, dump
    assert dump["loss"] is None and all(row["loss"] is None and row["row"] >= 0 for row in dump["rows"]), dump
    world.train(recipe, f"{folder}/good", *STAGES)
    said = status(f"{folder}/good")
    assert (said["state"], said["code"], said["reason"]) == ("done", 0, ""), said
    # A leap: with so small a limit, some of the steps behind the first 128 are skipped, and the log says so.
    long = world.recipe("leaps", steps=140)
    done = world.train(long, f"{folder}/leaps", *STAGES, "--set", "run.skip_leaps=0.01", "--set", "activate.phases.0.validate_every=0")
    assert "(run.skip_leaps); the step was skipped" in done.stderr, done.stderr
    assert " step 128: loss" not in done.stderr, done.stderr
    print("ends: passed", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        resumed_at_every_step(world, folder)
        on_other_numbers_of_ranks(world, folder)
        experts_that_share_batches(world, folder)
        trained_on_something_else(world, folder)
        if len(sys.argv) > 3:
            on_a_slow_disk(world, folder, sys.argv[3])
            while_the_clock_jumps(world, folder, sys.argv[3])
        in_odd_surroundings(world, folder)
        how_it_ended(world, folder)
    print("recovery: passed")


if __name__ == "__main__":
    main()
