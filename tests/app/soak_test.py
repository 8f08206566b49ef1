#!/usr/bin/env python3
"""Long runs of 2 ranks that get little of the processor: each rank is stopped and continued on its own, many times a second.

  soak_test.py kills PROGRAMS SOURCE [MINUTES]   at a fifth of the speed, saving every 20 s or so, killed every 1 to 5 minutes: a rank, all
      of it, or pre-empted; started again by the same command. In the end the weights are those of a run that was never stopped, and no step's
      line is missing or there twice.
  soak_test.py slow PROGRAMS SOURCE [MINUTES]    at a tenth of the speed, one life: the watchdog says nothing; memory and descriptors stay.
Default 60 minutes; `kills` then trains the run that it compares with.
"""
import glob
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from tiny_world import World, metrics, ranks_of

STAGE, STAGES = "activate-0-main", ("--stages", "encode,activate")
SETTINGS = ("--set", "activate.phases.0.validate_every=400", "--set", "run.watchdog=20")


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Slowed:
    """Lets each rank below `launcher` run for `share` of the time, in turns of about a tenth of a second of its own."""

    def __init__(self, launcher, share):
        self.launcher, self.share, self.on = launcher, share, True
        self.threads = []
        self.main = threading.Thread(target=self.look)
        self.main.start()

    def look(self):
        seen = set()
        while self.on:
            for pid in ranks_of(self.launcher):
                if pid not in seen:
                    seen.add(pid)
                    self.threads.append(threading.Thread(target=self.pulse, args=(pid, random.Random(pid))))
                    self.threads[-1].start()
            time.sleep(.2)

    def pulse(self, pid, rng):
        while self.on and os.path.exists(f"/proc/{pid}"):
            period = rng.uniform(.06, .2)
            send(pid, signal.SIGSTOP)
            time.sleep(period * (1 - self.share))
            send(pid, signal.SIGCONT)
            time.sleep(period * self.share)

    def end(self):
        self.on = False
        self.main.join()
        for thread in self.threads:
            thread.join()


def usage(pid):
    with open(f"/proc/{pid}/status") as lines:
        memory = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


class Usage:
    """Memory and descriptors of the ranks over time."""

    def __init__(self):
        self.samples = {}

    def take(self, launcher):
        for pid in ranks_of(launcher):
            try:
                self.samples.setdefault(pid, []).append((time.monotonic(), *usage(pid)))
            except (OSError, StopIteration):
                pass

    def growth(self, warm_s):
        """Largest growth over a life, first fifth against last fifth after the warm-up: of memory's median and of the fewest descriptors, of
        which a save at work has more."""
        worst_memory = worst_files = 0
        for samples in self.samples.values():
            late = [sample for sample in samples if sample[0] - samples[0][0] >= warm_s]
            if len(late) < 10:
                continue
            fifth = len(late) // 5
            first, last = late[:fifth], late[-fifth:]
            middle = lambda part, at: statistics.median(sample[at] for sample in part)
            worst_memory = max(worst_memory, middle(last, 1) / middle(first, 1) - 1)
            worst_files = max(worst_files, min(sample[2] for sample in last) - min(sample[2] for sample in first))
        return worst_memory, worst_files


def start(world, recipe, run, log, *more):
    return subprocess.Popen(world.command("thinkrec_train", "--config", recipe, "--run-dir", run, *STAGES, *SETTINGS, *more, ranks=2),
                            stdout=log, stderr=log, start_new_session=True)


class Saves:
    """When each checkpoint became whole, by the time of its folder."""

    def __init__(self, run):
        self.pattern, self.times = f"{run}/checkpoints/{STAGE}/step-*/MANIFEST.json", {}

    def take(self, life):
        for path in glob.glob(self.pattern):
            try:
                self.times.setdefault((life, path), os.stat(path).st_mtime)
            except FileNotFoundError:  # an older one, removed meanwhile
                pass

    def intervals(self):
        """In seconds, of all lives but the first, which is the one that finds out how many steps 20 s are."""
        times = sorted((life, when) for (life, _), when in self.times.items())
        return [b[1] - a[1] for a, b in zip(times, times[1:]) if a[0] == b[0] > 1]


def kill_all(job):
    try:
        os.killpg(job.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return job.wait(120)


def last_step(run):
    try:
        return max(metrics(run, "activate/main"), default=0)
    except FileNotFoundError:
        return 0


def kills(world, folder, minutes):
    rng, recipe, run = random.Random(17), world.recipe("soak", steps=100000), f"{folder}/run"
    end, lives, ends, use, saves, every = time.monotonic() + 60 * minutes, 0, {}, Usage(), Saves(run), 20
    log_path = f"{folder}/log.txt"
    while True:
        with open(log_path, "a") as log:
            job = start(world, recipe, run, log, "--set", f"run.checkpoint_every={every}")
            lives += 1
            slowed = Slowed(job.pid, .2)
            before, began = last_step(run), time.monotonic()
            stop = min(end, time.monotonic() + rng.uniform(60, 300))
            while time.monotonic() < stop and job.poll() is None:
                time.sleep(5)
                use.take(job.pid)
                saves.take(lives)
            every = max(1, round(20 * (last_step(run) - before) / (time.monotonic() - began)))  # of the next life: 20 s at this one's speed
            assert job.poll() is None, f"life {lives} ended by itself with code {job.returncode}, see {log_path}"
            final = time.monotonic() >= end
            way = "pre-empted" if final else rng.choice(("a rank", "all", "pre-empted"))
            if way == "a rank":
                send(rng.choice(ranks_of(job.pid)), signal.SIGKILL)
            elif way == "pre-empted":
                launcher = next(int(p) for p in open(f"/proc/{job.pid}/task/{job.pid}/children").read().split()) if not is_mpirun(job.pid) else job.pid
                os.kill(launcher, signal.SIGUSR2)
            else:
                kill_all(job)
            code = job.wait(180)
            slowed.end()
            kill_all(job)
            ends[way] = ends.get(way, 0) + 1
            wanted = {"a rank": (137, 71), "all": (-9,), "pre-empted": (75,)}[way]
            assert code in wanted, f"life {lives}, {way}: code {code}, see {log_path}"
        if final:
            break
    reached = last_step(run)
    memory, files = use.growth(30)
    seconds = sorted(saves.intervals())
    if seconds:
        print(f"{len(seconds)} intervals between saves: median {statistics.median(seconds):.0f} s, nine of ten up to {seconds[len(seconds) * 9 // 10]:.0f} s", flush=True)
    print(f"{lives} lives in {minutes:g} minutes, ended {ends}; at step {reached}; in a life memory grew by at most {memory:.2%}, descriptors by {files:g}", flush=True)
    whole = f"{folder}/whole"
    with open(f"{folder}/whole.txt", "w") as log:
        code = start(world, recipe, whole, log, "--set", f"run.checkpoint_every={reached}", "--inject", f"0:{reached + 100}:kill").wait()  # written by then
    assert code == 137, f"the run that is compared with ended with code {code}"
    a, b = metrics(run, "activate/main"), metrics(whole, "activate/main")
    assert sorted(a) == list(range(1, reached + 1)) == [step for step in sorted(b) if step <= reached], "a step is missing"
    assert all(a[step]["loss"] == b[step]["loss"] for step in a), "other losses"
    assert world.values(run, STAGE) == world.values(whole, STAGE), "other weights"
    assert memory < .02 and files <= 0, (memory, files)
    # The speed changes from life to life. Of fewer lives than three the last, which the end cuts short, may have no interval.
    assert lives < 3 or 10 <= statistics.median(seconds) <= 40, f"a save every 20 s or so was asked for, not {seconds}"
    print(f"kills: passed; {reached} steps, each once, the same bits", flush=True)


def is_mpirun(pid):
    with open(f"/proc/{pid}/comm") as name:
        return name.read().strip() in ("mpirun", "orterun", "prterun")


def slow(world, folder, minutes):
    recipe, run, use = world.recipe("soak", steps=100000), f"{folder}/run", Usage()
    with open(f"{folder}/log.txt", "w") as log:
        job = start(world, recipe, run, log, "--set", "run.checkpoint_every=20")
        slowed, end = Slowed(job.pid, .1), time.monotonic() + 60 * minutes
        while time.monotonic() < end and job.poll() is None:
            time.sleep(5)
            use.take(job.pid)
        code = job.poll()
        kill_all(job)
        slowed.end()
    said = open(f"{folder}/log.txt", errors="replace").read()
    assert code is None, f"it ended by itself with code {code}:\n{said[-2000:]}"
    flights = [name for name in os.listdir(f"{run}/watch") if name.startswith("flight-")]
    memory, files = use.growth(min(300, 15 * minutes))
    reached = last_step(run)
    print(f"slow: {reached} steps in {minutes:g} minutes ({60 * minutes / max(1, reached):.1f} s a step), alarms: {len(flights)}, memory grew by {memory:.2%}, descriptors by {files:g}",
          flush=True)
    assert not flights and "has waited" not in said and reached > 0 and memory < .02 and files <= 0
    print("slow: passed", flush=True)


if __name__ == "__main__":
    kind, programs, source, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        {"kills": kills, "slow": slow}[kind](World(os.path.abspath(programs), os.path.abspath(source), name), name, float(rest[0]) if rest else 60)
