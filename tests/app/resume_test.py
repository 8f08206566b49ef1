#!/usr/bin/env python3
"""kill -9 at any moment, the same command again: bit-identical weights, every step once in metrics.jsonl. A stop on request ends with 75."""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tiny_world import PATIENCE, World, metrics, ranks_of

STAGES = ("encode", "activate-0-main", "expert-0", "expert-1")


def kill_all(process):
    """The launcher and all it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def metrics_or_none(run_dir, stage="activate/main"):
    return metrics(run_dir, stage) if os.path.exists(os.path.join(run_dir, "metrics.jsonl")) else {}


def stopped_by_signals(world, folder):
    """USR1, USR2 and TERM to a rank or to mpirun: the current step is saved, code 75; resumed, the weights are those of a run that went through.
    A second INT to a rank ends it at once."""
    recipe = world.recipe("signals", steps=200)
    whole = f"{folder}/signals-whole"
    world.train(recipe, whole, "--stages", "encode,activate", ranks=2)
    wanted = world.values(whole, "activate-0-main")
    for name, target in (("SIGUSR1", "mpirun"), ("SIGUSR2", "mpirun"), ("SIGTERM", "rank"), ("SIGINT", "rank")):
        run = f"{folder}/{name}"
        process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, "--stages", "encode,activate", ranks=2),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(600):
            if len(metrics_or_none(run)) > 3:
                break
            time.sleep(0.05)
        sent, clock = time.monotonic(), time.time()
        os.kill(process.pid if target == "mpirun" else ranks_of(process.pid)[-1], getattr(signal, name))
        _, text = process.communicate(timeout=60)
        took = time.monotonic() - sent
        assert process.returncode == 75 and "stopped on request" in text, (name, process.returncode, text[-1500:])
        assert took < 10, (name, took)  # a step, the save, and what mpirun takes to end
        rows = metrics(run, "activate/main")
        longest = max(rows[s]["time"] - rows[s - 1]["time"] for s in rows if s - 1 in rows)
        status = json.load(open(os.path.join(run, "status.json")))
        saved = max(int(step[5:]) for step in os.listdir(f"{run}/checkpoints/activate-0-main"))
        assert status["state"] == "stopped" and status["step"] == saved == max(rows), (name, status, saved)
        until = os.path.getmtime(f"{run}/checkpoints/activate-0-main/step-{saved}/MANIFEST.json") - clock
        assert until < longest + 2, (name, until, longest)
        world.train(recipe, run, "--stages", "encode,activate", ranks=2)
        assert world.values(run, "activate-0-main") == wanted, name
        print(f"{name} to {target}: saved step {saved} after {until:.1f} s, ended after {took:.1f} s", flush=True)
    # TERM to mpirun: it passes it on after a while, kills the ranks a second later unless told to wait, and its own code says nothing.
    # status.json does. The run is long enough not to be over before the signal has come through.
    recipe = world.recipe("terminated", steps=800)
    world.train(recipe, f"{folder}/terminated-whole", "--stages", "encode,activate", ranks=2)
    wanted = world.values(f"{folder}/terminated-whole", "activate-0-main")
    run = f"{folder}/terminated"
    process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, "--stages", "encode,activate", ranks=2),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, "OMPI_MCA_odls_base_sigkill_timeout": "10"})
    while len(metrics_or_none(run)) <= 3:
        assert process.poll() is None, process.returncode
        time.sleep(0.05)
    process.terminate()
    process.wait(timeout=90)
    status = json.load(open(os.path.join(run, "status.json")))
    assert status["state"] == "stopped" and status["code"] == 75, status
    assert os.path.exists(f"{run}/checkpoints/activate-0-main/step-{status['step']}/MANIFEST.json"), status
    world.train(recipe, run, "--stages", "encode,activate", ranks=2)
    assert world.values(run, "activate-0-main") == wanted, "SIGTERM to mpirun"
    print(f"SIGTERM to mpirun: saved step {status['step']}, mpirun's code {process.returncode}", flush=True)
    run = f"{folder}/twice"
    process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, "--inject", "0:4:loop"), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    while len(metrics_or_none(run)) < 3:
        assert process.poll() is None, process.returncode
        time.sleep(0.05)
    time.sleep(1)  # it is in the step that does not end
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None, "one INT asks only"
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    code = process.wait(20)
    took = time.monotonic() - sent
    assert code == 130 and took < 2 * PATIENCE, (code, took)  # at once, and not when the watchdog ends the step
    print(f"a second SIGINT: ended after {took:.2f} s", flush=True)


def stage_now(run):
    """The stage that a life is in."""
    try:
        status = json.load(open(f"{run}/status.json"))
        return status["stage"] if status["state"] == "running" else ""
    except (OSError, ValueError):
        return ""


def asked_to_stop(world, recipe, run, stages, *arguments):
    """A life of which a rank gets USR2 once it is in one of the stages: its code, and what it said."""
    process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, *arguments, ranks=2),
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and stage_now(run) not in stages:
        time.sleep(0.005)
    for pid in ranks_of(process.pid)[:1]:  # mpirun passes it on later, and none is left of a life that has ended
        os.kill(pid, signal.SIGUSR2)
    _, text = process.communicate(timeout=60)
    return process.returncode, text


def second_is_refused(world, recipe, run, process, *arguments):
    """The same command while `process` is at work: it waits 10 s for it, and leaves all to it."""
    began = time.monotonic()
    taken = world.train(recipe, run, *arguments, code=64)
    took = time.monotonic() - began
    assert "another thinkrec_train is at work on this run" in taken.stderr, taken.stderr
    assert 10 <= took < 10 + 15 * PATIENCE, took  # and what a program takes to begin
    epochs = len(metrics(run, "encode"))
    while len(metrics(run, "encode")) <= epochs:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    assert stage_now(run) == "encode", "the refused one wrote into status.json"
    print(f"a second job: refused after {took:.1f} s", flush=True)


def stopped_outside_steps(world, folder, encode):
    """A request to stop while the encoder trains or rows are scored: code 75 there, too, and the same command begins that stage anew, to the bits
    of one that was never stopped (`encode`: the encoder's). A second job finds the run taken."""
    recipe = world.recipe("outside", steps=4)
    run = f"{folder}/encode"
    # Without the factorisation that is the start of others: it would be as endless, and has no lines.
    endless = ("--set", "encoder.max_epochs=1000000", "--set", "encoder.patience=1000000", "--set", "encoder.warm_start=false")
    lives = []
    while len(lives) < 2:
        began = time.time()
        process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, *endless, ranks=2),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while sum(row["time"] > began for row in metrics_or_none(run, "encode").values()) < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        if not lives:
            second_is_refused(world, recipe, run, process, *endless)
        process.send_signal(signal.SIGUSR2)
        _, text = process.communicate(timeout=60)
        assert process.returncode == 75 and "stopped on request during 'encode'" in text, (process.returncode, text[-1500:])
        assert not glob.glob(f"{run}/checkpoints/encode/*"), "an encoder that was stopped is kept"
        lives.append(metrics(run, "encode"))
        assert sorted(lives[-1]) == list(range(1, len(lives[-1]) + 1)) and all(row["time"] > began for row in lives[-1].values()), lives[-1]
    for epoch in range(1, min(map(len, lives)) + 1):
        a, b = ({**life[epoch], "time": None} for life in lives)
        assert a == b, (a, b)

    run = f"{folder}/evaluate"
    for early in range(20):  # until the signal comes before the encoder's last epoch
        code, text = asked_to_stop(world, recipe, run, ("start", "encode"))
        stopped = code == 75 and "stopped on request during 'encode'; the same command begins this stage anew" in text
        if stopped:
            break
        shutil.rmtree(run)
    assert stopped, (code, text[-1500:])
    world.train(recipe, run, ranks=2)
    assert world.values(run, "encode") == encode

    def results():
        evaluation = json.load(open(f"{run}/evaluation.json"))
        del evaluation["timings"]
        return evaluation, open(f"{run}/scores.csv").read()
    undisturbed = results()
    for attempt in range(20):  # until it comes before the last row
        for name in ("evaluation.json", "scores.csv"):
            os.remove(f"{run}/{name}")
        code, text = asked_to_stop(world, recipe, run, ("evaluate",), "--stages", "evaluate")
        if code != 0:
            break
    assert code == 75 and "stopped on request while rows were scored" in text, (code, text[-1500:])
    assert not {"evaluation.json", "scores.csv"} & set(os.listdir(run)), os.listdir(run)
    world.train(recipe, run, "--stages", "evaluate", ranks=2)
    assert results() == undisturbed
    print(f"stopped while it trains the encoder (attempt {early + 1}), and while rows are scored (attempt {attempt + 1}): both anew", flush=True)


def rank_of(pid):
    with open(f"/proc/{pid}/environ", errors="replace") as environment:
        return int(re.search(r"\bOMPI_COMM_WORLD_RANK=(\d+)", environment.read())[1])


def stopped_in_teams(world, folder):
    """A request to one rank while two teams of a rank train an expert each: both save their step and stop, in this life and the next. In the end
    they have the bits of teams that were never stopped."""
    steps = 500  # more than two stops take on any machine
    recipe = world.recipe("teams", steps=2, expert_steps=steps)
    run, whole = f"{folder}/teams", f"{folder}/teams-whole"
    world.train(recipe, run, "--stages", "encode,activate,group", ranks=2)
    shutil.copytree(run, whole)
    world.train(recipe, whole, "--stages", "expert", ranks=2)

    def saved(expert):
        stage = f"{run}/checkpoints/expert-{expert}"
        names = os.listdir(stage) if os.path.exists(stage) else ()
        return max((int(name[5:]) for name in names if not name.endswith(".tmp")), default=0)
    for name, rank in (("SIGTERM", 0), ("SIGINT", 1)):
        before = saved(0), saved(1)
        open(f"{run}/stop", "w").write("1")  # as a life that was killed has left it
        process = subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, "--stages", "expert", ranks=2),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while any(saved(expert) < before[expert] + 4 for expert in (0, 1)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        teams = json.load(open(f"{run}/teams.json"))
        assert [teams[f"expert/{expert}"] for expert in (0, 1)] == [{"first_rank": expert, "ranks": 1} for expert in (0, 1)], teams
        asked = next(pid for pid in ranks_of(process.pid) if rank_of(pid) == rank)
        sent, clock = time.monotonic(), time.time()
        os.kill(asked, getattr(signal, name))
        _, text = process.communicate(timeout=60)
        took = time.monotonic() - sent
        assert process.returncode == 75 and "stopped on request during 'expert'" in text, (name, process.returncode, text[-1500:])
        assert took < 10, (name, took)
        after = []
        for expert in (0, 1):
            rows = metrics(run, f"expert/{expert}")
            assert saved(expert) == max(rows) < steps, (name, expert, saved(expert))
            # The rank that was asked is at a step; the other team looks once a second. Two more for a busy machine to save.
            longest = max(rows[s]["time"] - rows[s - 1]["time"] for s in rows if s - 1 > before[expert])
            after.append(os.path.getmtime(f"{run}/checkpoints/expert-{expert}/step-{saved(expert)}/MANIFEST.json") - clock)
            assert after[-1] < (expert != rank) + longest + 2, (name, expert, after, longest)
        status = json.load(open(f"{run}/status.json"))
        assert (status["state"], status["code"], status["step"]) == ("stopped", 75, saved(0)), status  # rank 0 trains expert 0
        assert not os.path.exists(f"{run}/stop"), name
        print(f"{name} to rank {rank}, of one of two teams: saved steps {saved(0)} and {saved(1)} after {after[0]:.1f} and {after[1]:.1f} s, "
              f"ended after {took:.1f} s", flush=True)
    world.train(recipe, run, "--stages", "expert", ranks=2)
    for expert in (0, 1):
        assert world.values(run, f"expert-{expert}") == world.values(whole, f"expert-{expert}"), expert
        a, b = metrics(whole, f"expert/{expert}"), metrics(run, f"expert/{expert}")
        assert sorted(a) == sorted(b) == list(range(1, steps + 1)) and all(a[s]["loss"] == b[s]["loss"] for s in a), expert


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        steps = {"activate/main": 40, "expert/0": 24, "expert/1": 24}
        recipe = world.recipe(steps=steps["activate/main"], expert_steps=steps["expert/0"])
        whole = f"{folder}/whole"
        start = time.monotonic()
        world.train(recipe, whole, ranks=2)
        took = time.monotonic() - start
        expected = {stage: world.values(whole, stage) for stage in STAGES}

        rng = random.Random(int(os.environ.get("THINKREC_TEST_SEED", "3")))
        run = f"{folder}/killed"
        command = world.command("thinkrec_train", "--config", recipe, "--run-dir", run, ranks=2)
        kills = 0
        for _ in range(6):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                process.wait(timeout=rng.uniform(0.35, 0.95) * took)
                break
            except subprocess.TimeoutExpired:
                kill_all(process)
                kills += 1
        world.train(recipe, run, ranks=2)
        assert kills > 0, "nothing was killed"
        for stage in STAGES:
            assert world.values(run, stage) == expected[stage], f"{stage} differs after {kills} kills"
        for stage, last in steps.items():
            a, b = metrics(whole, stage), metrics(run, stage)
            assert sorted(a) == sorted(b) == list(range(1, last + 1)), f"{stage}: steps {sorted(b)}"
            assert all(a[s]["loss"] == b[s]["loss"] for s in a), f"{stage}: losses differ"

        # A damaged newest checkpoint is noticed, and the one before takes over.
        damaged = f"{folder}/damaged"
        shutil.copytree(whole, damaged)
        stage = os.path.join(damaged, "checkpoints", "expert-0")
        newest = max(os.listdir(stage), key=lambda name: int(name[5:]))
        state = os.path.join(stage, newest, "state.h5")
        with open(state, "r+b") as file:
            file.seek(os.path.getsize(state) // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
        done = world.train(recipe, damaged, ranks=2)
        assert "damaged" in done.stderr and "falling back" in done.stderr, done.stderr
        assert world.values(damaged, "expert-0") == expected["expert-0"]

        stopped_by_signals(world, folder)
        stopped_outside_steps(world, folder, expected["encode"])
        stopped_in_teams(world, folder)
    print(f"resume: passed with {kills} kills")


if __name__ == "__main__":
    main()
