#!/usr/bin/env python3
"""Faults on purpose (--inject): the job ends in time, says who, where and in which collective, and the same command then ends with the
weights of a run that was never disturbed. What is not finite is never taken in.

  faults_test.py PROGRAMS SOURCE [SHIM]     SHIM: crash_shim of tests/checkpoint, which kills within a save
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tiny_world import World, losses, metrics, ranks_of

LIMIT = 6  # of the watchdog, in seconds
SAVED_EVERY = 2  # steps, by the recipe
STAGE, STAGES = "activate-0-main", ("--stages", "encode,activate")
WATCHED = ("--set", f"run.watchdog={LIMIT}", "--set", f"run.watchdog_quiet={LIMIT}")


class Job:
    """A training under mpirun that is going to be disturbed."""

    def __init__(self, world, recipe, run_dir, *arguments, ranks=2, env=None):
        self.ranks, self.text = ranks, ""
        command = world.command("thinkrec_train", "--config", recipe, "--run-dir", run_dir, *arguments, ranks=ranks)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)

    def end(self, fault=None):
        """Exit code, seconds from the fault to the end, standard error. `fault(job)` comes back when it has happened; else it is --inject's."""
        (fault or Job.injected)(self)
        began = time.monotonic()
        self.text += self.process.stderr.read()
        return self.process.wait(timeout=60), time.monotonic() - began, self.text

    def injected(self):
        """Waits for the line that announces the fault."""
        for line in self.process.stderr:
            self.text += line
            if "--inject" in line:
                return
        raise AssertionError(self.text)

    def first_death(self):
        most = 0
        while self.process.poll() is None:
            alive = len(ranks_of(self.process.pid))
            most = max(most, alive)
            if most == self.ranks and alive < most:
                break
            time.sleep(0.01)

    def send(self, rank, number):
        """A signal to one rank, which mpirun has told its number."""
        told = f"OMPI_COMM_WORLD_RANK={rank}".encode()
        found = [pid for pid in ranks_of(self.process.pid) if told in open(f"/proc/{pid}/environ", "rb").read().split(b"\0")]
        assert len(found) == 1, (rank, found)
        os.kill(found[0], number)


def in_time(what, limit, attempt, tries=3):
    """`attempt` gives the seconds it took. A machine that others use as well may be late; one of the tries must be in time."""
    took = []
    while len(took) < tries:
        took.append(attempt())
        if took[-1] <= limit:
            print(f"{what}: ended after {took[-1]:.1f} s" + (f" (before: {took[:-1]})" if took[1:] else ""), flush=True)
            return
    raise AssertionError(f"{what}: ended after {took} s, not within {limit} s")


def killed(world, folder, prepared, shim):
    """Each rank killed at steps, in a validation and within a save, its own or that of rank 0 (R1): the job ends within 5 s, at most one
    interval between saves is lost, and what the same command ends with is that of a run that was never killed."""
    recipe = world.recipe()
    calm, run = f"{folder}/calm-activate", f"{folder}/killed"
    shutil.copytree(prepared, calm)
    world.train(recipe, calm, *STAGES, ranks=2)
    wanted, steps = world.values(calm, STAGE), losses(calm, "activate/main")

    def kill_and_resume(name, arguments, env=None, fault=None, done=None, left=None):
        """`done`: the step it had reached; `left`: what is there of a save that was not finished."""
        def attempt():
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(prepared, run)
            code, seconds, text = Job(world, recipe, run, *STAGES, *arguments, env=env).end(fault)
            assert code in (137, 71), (name, code, text[-2000:])
            reached = max(metrics(run, "activate/main"), default=0)
            if done is not None:
                assert reached == done, (name, reached)
            assert left is None or os.path.exists(left), (name, os.listdir(os.path.dirname(left)))
            said = world.train(recipe, run, *STAGES, ranks=2).stderr
            resumed = re.search(r"resumed at step (\d+) of", said)
            lost = reached - (int(resumed.group(1)) if resumed else 0)
            assert lost <= SAVED_EVERY, (name, lost, said)
            assert world.values(run, STAGE) == wanted, f"{name}: other weights"
            assert losses(run, "activate/main") == steps, name
            return seconds
        in_time(name, 5, attempt)

    for rank in (0, 1):
        for step in (3, 7):
            kill_and_resume(f"rank {rank} killed at step {step}", ("--inject", f"{rank}:{step}:kill"), done=step - 1)
        kill_and_resume(f"rank {rank} killed in a validation", ("--inject", f"{rank}:4:kill-validation"), done=4)
    if not shim:
        return
    checkpoints = f"{run}/checkpoints/{STAGE}"
    preloaded = {**os.environ, "LD_PRELOAD": shim, "CRASH_FOLDER": checkpoints}

    # A save is written while training goes on. Rank 1 stands still in the step behind it: else the steps made in the meantime, which are lost
    # as well, would be as many as the machine makes.
    for call, saved in ((6, 2), (25, 4)):
        kill_and_resume(f"rank 0 killed in the save of step {saved}, at call {call}", ("--inject", f"1:{saved + 1}:stop"),
                        env={**preloaded, "CRASH_AT": str(call)}, fault=Job.first_death, left=f"{checkpoints}/step-{saved}.tmp")

    # The other rank, while rank 0 writes for six seconds (four fsyncs), longer than mpirun lets it live.
    def while_it_writes(job):
        while not os.path.exists(f"{checkpoints}/step-4.tmp"):
            assert job.process.poll() is None, job.process.stderr.read()
            time.sleep(0.002)
        job.injected()
        job.send(1, signal.SIGKILL)

    kill_and_resume("rank 1 killed while rank 0 saves", ("--inject", "1:5:stop"), env={**preloaded, "SLOW_FSYNC_MS": "1500"}, fault=while_it_writes,
                    done=4, left=f"{checkpoints}/step-4.tmp")


def validations(run, stage):
    """What each validation of a stage said, by step; each is there once."""
    found = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    found = [(row["step"], row["valid_auc"], row["valid_uauc"]) for row in found if row["stage"] == stage and "valid_auc" in row]
    assert len({step for step, *_ in found}) == len(found), found
    return found


def stopped_in_a_validation(world, folder, calm):
    """Asked to stop in a validation (USR2), also in that of the last step: the step is saved, code 75, and the next life begins with the
    validation. Of the global stage on two ranks, and of two experts that train at once."""
    recipe, prepared = world.recipe(), f"{folder}/prepared"

    def check(name, begun, stages, undisturbed, ranks, places, kind="usr2-validation"):
        steps = 8 if begun == prepared else 4
        wanted = {stage: (world.values(undisturbed, folder_of), losses(undisturbed, stage), validations(undisturbed, stage)) for stage, folder_of in stages}
        arguments = ("--stages", ",".join(dict.fromkeys(stage.split("/")[0] for stage, _ in stages)))
        for rank, step in places:
            run = f"{folder}/asked"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(begun, run)
            said = world.train(recipe, run, *arguments, "--inject", f"{rank}:{step}:{kind}", ranks=ranks, code=75).stderr
            assert "stopped on request" in said, (name, said)
            for stage, folder_of in stages:
                assert os.path.exists(f"{run}/checkpoints/{folder_of}/step-{step}"), (name, os.listdir(f"{run}/checkpoints/{folder_of}"))
                assert max(losses(run, stage)) == step, (name, losses(run, stage))
            undone = [stage for stage, _ in stages if step not in {at for at, *_ in validations(run, stage)}]
            assert undone == [stage for stage, _ in stages][1 if "second" in kind else 0:], (name, kind, undone)
            # The next life is killed behind the validation that it began with, and before it saves again.
            command = world.command("thinkrec_train", "--config", recipe, "--run-dir", run, *arguments, "--inject", f"{rank}:1:kill", ranks=ranks)
            code = subprocess.run(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=240, check=False).returncode
            assert code in ((137, 71, -9) if step < steps else (0,)), (name, code)
            world.train(recipe, run, *arguments, ranks=ranks)
            for stage, folder_of in stages:
                got = (world.values(run, folder_of), losses(run, stage), validations(run, stage))
                assert got == wanted[stage], (name, rank, step, stage, got, wanted[stage])
        print(f"stopped in a validation: {name}: goes on with it", flush=True)

    check("global", prepared, (("activate/main", STAGE),), calm, 2, ((0, 4), (1, 8)))
    begun, undisturbed = f"{folder}/begun", f"{folder}/undisturbed"
    shutil.copytree(calm, begun)
    for expert in (0, 1):
        shutil.rmtree(f"{begun}/checkpoints/expert-{expert}")
    shutil.copytree(begun, undisturbed)
    world.train(recipe, undisturbed, "--stages", "expert")
    check("experts", begun, (("expert/0", "expert-0"), ("expert/1", "expert-1")), undisturbed, 0, ((0, 4),))
    check("experts, the second", begun, (("expert/0", "expert-0"), ("expert/1", "expert-1")), undisturbed, 0, ((0, 4),), "usr2-second-validation")


def killed_in_the_evaluation(world, folder, calm):
    run = f"{folder}/evaluated"

    def attempt(rank):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(calm, run)
        os.remove(f"{run}/evaluation.json")
        os.remove(f"{run}/status.json")
        job = Job(world, world.recipe(), run)
        while job.process.poll() is None:
            if os.path.exists(f"{run}/status.json") and '"evaluate"' in open(f"{run}/status.json").read():
                break
            time.sleep(0.002)
        job.send(rank, signal.SIGKILL)
        began = time.monotonic()
        job.process.communicate(timeout=60)
        took = time.monotonic() - began
        assert job.process.returncode in (137, 71) and not os.path.exists(f"{run}/evaluation.json"), job.process.returncode
        world.train(world.recipe(), run, ranks=2)
        models = [json.load(open(f"{place}/evaluation.json"))["models"] for place in (calm, run)]
        assert models[0] == models[1], models
        return took

    for rank in (0, 1):
        in_time(f"rank {rank} killed in the evaluation", 5, lambda rank=rank: attempt(rank))


COLLECTIVE = r"collective #(\d+) \((\w+) of \d+ bytes in group 'world'\)"


def stopped_in_a_collective(job):
    """Rank 2 has stopped before its step's collective, in which the others wait for it. Once all have said so, rank 1 is stopped there, and
    rank 2 goes on: a stopped rank's last sign of life, which is what the others know of it, may be a second old."""
    job.injected()
    time.sleep(2.5)
    job.send(1, signal.SIGSTOP)
    job.send(2, signal.SIGCONT)


def last_collectives(run, text):
    """By rank: number of the last collective of its flight record. Only of ranks that gave alarm: others may have been ended as they wrote."""
    last = {}
    for rank in set(re.findall(r"Rank (\d) has waited", text)):
        with open(f"{run}/watch/flight-{rank}.txt") as lines:
            rows = lines.read().splitlines()
        assert any("\tall_reduce_sum\t" in row for row in rows), rows
        last[rank] = int(rows[-1].split("\t")[0])
    return last


def hangs(world, folder):
    """A rank of four that is stopped, loops, or enters another collective than the others (R6). What is said of the culprit itself names
    rank, step and collective."""
    recipe, calm4 = world.recipe(), f"{folder}/calm4"
    world.train(recipe, calm4, *STAGES, ranks=4)
    wanted = world.values(calm4, STAGE)
    step = r"activate/main step"
    for name, inject, at, fault, clause in (
            ("stopped", "2:3:stop", 3, stopped_in_a_collective,
             rf"rank 1 \(process \d+ on \S+\) is stopped or gone: no sign of life; it was last seen in {step} 3, in {COLLECTIVE}"),
            ("loops", "2:4:loop", 4, None,
             rf"rank 2 \(process \d+ on \S+\) runs on without getting anywhere for \d+ s in {step} 4, after {COLLECTIVE}"),
            ("another collective", "3:5:mismatch", 5, None,
             rf"all ranks wait for each other: rank 0 in {step} 5, {COLLECTIVE}; "
             + "".join(rf"rank {rank} in {step} 5, collective #\1 \(all_reduce_sum of \d+ bytes in group 'world'\); " for rank in (1, 2))
             + rf"rank 3 in {step} 5, collective #\1 \(barrier of 0 bytes in group 'world'\)")):
        run = f"{folder}/{inject.replace(':', '-')}"

        def attempt():
            shutil.rmtree(run, ignore_errors=True)
            code, seconds, text = Job(world, recipe, run, *STAGES, "--inject", inject, *WATCHED, ranks=4).end(fault)
            assert code == 71, (name, code, text[-3000:])
            found = re.search(clause, text)
            assert found, (name, text[-3000:])
            # The culprit's record ends with that collective, those of ranks that wait for it with the same or the next.
            last = last_collectives(run, text)
            assert last and all(end - 1 <= int(found[1]) <= end for end in last.values()), (name, found[0], last)
            said = json.load(open(f"{run}/status.json"))
            assert (said["state"], said["stage"], said["step"], said["code"]) == ("failed", "activate/main", at, 71), said
            assert re.match(clause, said["reason"]), said
            return seconds
        in_time(name, LIMIT + 3, attempt)
        world.train(recipe, run, *STAGES, ranks=4)
        assert world.values(run, STAGE) == wanted, name


def errors(world, folder, wanted):
    recipe = world.recipe()
    for fault, code in (("0:10:kill", 137), ("1:5:error", 70)):
        run = f"{folder}/{fault.replace(':', '-')}"
        ended, _, text = Job(world, recipe, run, "--inject", fault).end()
        assert ended == code, (fault, ended, text[-3000:])
        if code == 70:
            assert "--inject: an error at step 5" in text, text
            said = json.load(open(f"{run}/status.json"))  # of the rank that failed, which is not the first
            assert (said["state"], said["code"], said["step"]) == ("failed", 70, 5) and "--inject" in said["reason"], said
        world.train(recipe, run, ranks=2)
        assert {stage: world.values(run, stage) for stage in wanted} == wanted, fault


def not_finite(world, folder, calm, prepared, wanted):
    """NaN and Inf in what one rank computes or holds (R9): all ranks skip the step, or end the run with 76."""
    recipe, steps, none, strict = world.recipe(), losses(calm, "activate/main"), ("--set", "run.skip_nonfinite=0"), f"{folder}/strict"
    world.train(recipe, strict, "--stages", "encode", *none, ranks=2)

    def train(name, *arguments, code=0, origin=prepared):
        run = f"{folder}/{name}"
        shutil.copytree(origin, run)
        return run, world.train(recipe, run, *STAGES, *arguments, ranks=2, code=code).stderr
    for value in ("nan", "inf"):
        for place in ("loss", "gradient", "input"):
            kind = f"{value}-{place}"
            run, said = train(kind, "--inject", f"1:2:{kind}")
            assert said.count("activate/main step 2: loss") == said.count("the step was skipped") == 2, said  # each rank says it
            assert world.values(run, STAGE) != wanted, kind
            train(f"{kind}-none", "--inject", f"1:2:{kind}", *none, code=76, origin=strict)
        # A weight that is not finite stays so: the run ends, no checkpoint has it, and the same command goes on from the last one.
        for rank in (0, 1):
            run, said = train(f"{value}-weight-{rank}", "--inject", f"{rank}:5:{value}-weight", code=76)
            assert "steps in a row were not finite" in said, said
            done = world.train(recipe, run, *STAGES, ranks=2)
            assert "resumed at step 4 of 8" in done.stderr, done.stderr  # no checkpoint amid the steps that were skipped
            assert world.values(run, STAGE) == wanted and losses(run, "activate/main") == steps, (value, rank)


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe, calm, prepared = world.recipe(), f"{folder}/calm", f"{folder}/prepared"
        world.train(recipe, prepared, "--stages", "encode", ranks=2)
        world.train(recipe, calm, ranks=2)
        wanted = {stage: world.values(calm, stage) for stage in sorted(os.listdir(f"{calm}/checkpoints"))}
        killed(world, folder, prepared, sys.argv[3] if len(sys.argv) > 3 else None)
        stopped_in_a_validation(world, folder, calm)
        killed_in_the_evaluation(world, folder, calm)
        hangs(world, folder)
        errors(world, folder, wanted)
        not_finite(world, folder, calm, prepared, wanted[STAGE])
        for fault, words in (("1:2", "RANK:STEP:KIND"), ("x:2:kill", "ranks count from 0"), ("0:0:kill", "steps from 1"), ("0:1:kil", "did you mean 'kill'")):
            assert words in world.train(recipe, f"{folder}/none", "--inject", fault, code=64).stderr
    print("faults: passed")


if __name__ == "__main__":
    main()
