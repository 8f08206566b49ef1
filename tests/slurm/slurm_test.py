#!/usr/bin/env python3
"""The jobs of slurm/ on a real Slurm of one node, and of two (cluster.sh): pre-empted three times in one job, cancelled, run into the time limit; the
weights are those of a run that was never stopped.  slurm_test.py PROGRAMS ROOT [preemptions] [cancel] [experts] [limit] [nodes]; all without
names; code 77 where Slurm cannot be set up"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
from tiny_world import World, metrics  # noqa: E402

CLUSTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cluster.sh")
WHOLE, EXPERT = 480, 160  # steps of a run that is long enough to be stopped three times
LONG = 2000  # and of one that takes about a minute


def output(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, **more).stdout


def wait_for(what, condition, seconds=180):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - start


ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


class Job:
    def __init__(self, world, template, recipe, run_dir, *options):
        self.run_dir, self.log, self.waits_since = run_dir, f"{run_dir}.log", None
        environment = dict(os.environ, RECIPE=recipe, RUN_DIR=run_dir, THINKREC_PROGRAMS=world.programs)
        self.id = output("sbatch", "--parsable", "--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", f"--output={self.log}", *options,
                         f"slurm/{template}.sbatch", cwd=world.source, env=environment).strip()

    def field(self, name):
        return re.search(rf"\b{name}=(\S+)", output("scontrol", "show", "job", self.id)).group(1)

    def text(self):
        return open(self.log).read() if os.path.exists(self.log) else ""

    def over(self):
        """A job that is being requeued may show the code of its script for a moment: what it is after three seconds counts."""
        first = self.field("JobState")
        if first not in ENDS:
            self.go()
            return False
        time.sleep(0 if first == "COMPLETED" else 3)
        return self.field("JobState") == first

    def reach(self, stage, step, seconds=180):
        """Waits until a stage has made so many steps."""
        def there():
            assert not self.over(), (self.field("JobState"), self.text()[-3000:])
            return os.path.exists(f"{self.run_dir}/metrics.jsonl") and len(metrics(self.run_dir, stage)) >= step
        wait_for(f"job {self.id}: {stage} step {step}", there, seconds)

    def go(self):
        """Without the two minutes that Slurm lets a requeued job wait; not at once, though: the end of the batch script before may still be on
        its way to slurmctld, which would take it for the new one's."""
        if self.field("JobState") != "PENDING" or self.field("Reason") != "BeginTime":
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = time.monotonic()
        elif time.monotonic() - self.waits_since > 5:
            subprocess.run(["scontrol", "update", f"JobId={self.id}", "StartTime=now"], check=False, capture_output=True)

    def end(self, state, seconds=240):
        wait_for(f"job {self.id}: the end", self.over, seconds)
        assert self.field("JobState") == state, (self.field("JobState"), self.text()[-3000:])

    def restarts(self):
        return int(self.field("Restarts"))


def all_values(world, run_dir):
    return {stage: world.values(run_dir, stage) for stage in sorted(os.listdir(f"{run_dir}/checkpoints"))}


def steps(run_dir):
    stages = ("activate/main", "expert/0", "expert/1")
    return {stage: [(step, row["loss"]) for step, row in sorted(metrics(run_dir, stage).items())] for stage in stages}


def three_preemptions(world, recipe, calm, folder):
    """The signal to the batch shell, as before a time limit; a job of higher priority; scontrol requeue, which asks nobody."""
    job = Job(world, "single_node", recipe, f"{folder}/preempted")
    job.reach("activate/main", 10)
    output("scancel", "--batch", "--signal=USR2", job.id)
    took = wait_for("the first restart", lambda: job.restarts() == 1)
    job.reach("activate/main", WHOLE // 2)
    urgent = output("sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2").strip()
    wait_for("the second restart", lambda: job.restarts() == 2)
    before = job.text()
    assert before.count("thinkrec_train ended with 75") == 2, before[-3000:]
    wait_for("the urgent job's end", lambda: "JobState=COMPLETED" in output("scontrol", "show", "job", urgent))
    job.reach("expert/0", 10)
    output("scontrol", "requeue", job.id)
    wait_for("the third restart", lambda: job.restarts() == 3)
    job.end("COMPLETED")
    assert job.restarts() == 3, job.restarts()
    assert all_values(world, job.run_dir) == all_values(world, calm), "weights differ after three pre-emptions"
    assert steps(job.run_dir) == steps(calm), "steps or losses differ after three pre-emptions"
    assert '"done"' in open(f"{job.run_dir}/status.json").read()
    print(f"three pre-emptions: restarts 3, same weights; back in the queue {took:.1f} s after the signal", flush=True)


def cancelled(world, recipe, calm, folder):
    job = Job(world, "single_node", recipe, f"{folder}/cancelled")
    job.reach("activate/main", 10)
    output("scancel", job.id)
    took = wait_for("the end of a cancelled job", lambda: job.field("JobState") == "CANCELLED" and not output("squeue", "-h", "-j", job.id))
    assert job.restarts() == 0
    done = max(metrics(job.run_dir, "activate/main"))
    # Told to end, with a checkpoint of this very step.
    told = Job(world, "single_node", recipe, job.run_dir)
    told.reach("activate/main", done + 20)
    output("scancel", "--batch", "--signal=TERM", told.id)
    told.end("FAILED")
    assert told.restarts() == 0 and told.field("ExitCode") == "75:0", (told.restarts(), told.field("ExitCode"))
    assert '"stopped"' in open(f"{job.run_dir}/status.json").read()
    again = Job(world, "single_node", recipe, job.run_dir)
    again.end("COMPLETED")
    assert all_values(world, job.run_dir) == all_values(world, calm), "weights differ after scancel"
    assert steps(job.run_dir) == steps(calm), "steps or losses differ after scancel"
    print(f"scancel: ended in {took:.1f} s, not requeued; the same command went on to the same weights", flush=True)


def out_of_time(world, recipe, calm, folder):
    """A limit of one minute, with the signal 45 s before it: Slurm looks about every half minute."""
    job = Job(world, "single_node", recipe, f"{folder}/out-of-time", "--time=1", "--signal=B:USR2@45")
    job.end("COMPLETED", 500)
    assert job.restarts() >= 1 and job.text().count("thinkrec_train ended with 75") == job.restarts(), (job.restarts(), job.text()[-3000:])
    assert all_values(world, job.run_dir) == all_values(world, calm), "weights differ after the time limit"
    print(f"time limit: restarts {job.restarts()}, same weights", flush=True)


def experts_alone(world, recipe, calm, folder):
    run = f"{folder}/experts"
    world.run("thinkrec_train", "--config", recipe, "--run-dir", run, "--stages", "encode,activate", ranks=2, timeout=600)
    job = Job(world, "experts", recipe, run)
    job.reach("expert/0", 10)
    output("scancel", "--batch", "--signal=USR2", job.id)
    job.end("COMPLETED")
    assert job.restarts() == 1
    assert all_values(world, run) == all_values(world, calm), "experts differ"
    teams = re.findall(r"expert: team \d+ of \d+ ranks trains expert [^\n]*", job.text())
    assert teams, job.text()[-3000:]
    print(f"experts as one job: restarts 1, same weights; {'; '.join(teams[:2])}", flush=True)


def two_nodes(world, recipe, calm, folder):
    """mpirun through srun; both nodes are this machine. A job that is pre-empted, then cancelled, then submitted again."""
    os.environ["OMPI_MCA_rmaps_base_display_map"] = "1"
    job = Job(world, "multi_node", recipe, f"{folder}/nodes", "--nodes=2", "--ntasks-per-node=1")
    job.reach("activate/main", 10)
    output("scancel", "--batch", "--signal=USR2", job.id)
    wait_for("the first restart", lambda: job.restarts() == 1)
    assert "thinkrec_train ended with 75" in job.text(), job.text()[-3000:]
    job.reach("activate/main", WHOLE // 2)
    output("scancel", job.id)
    took = wait_for("the end of a cancelled job", lambda: not output("squeue", "-h", "-j", job.id))
    again = Job(world, "multi_node", recipe, job.run_dir, "--nodes=2", "--ntasks-per-node=1")
    again.end("COMPLETED")
    text = again.text()
    assert "2 ranks on 2 nodes of job" in text and all(re.search(rf"Data for node: {node}\b", text) for node in ("n1", "n2")), text[-3000:]
    assert all_values(world, job.run_dir) == all_values(world, calm), "weights differ on two nodes"
    assert steps(job.run_dir) == steps(calm), "steps or losses differ on two nodes"
    print(f"two nodes: restarts 1, cancelled in {took:.1f} s, submitted again: same weights", flush=True)


PARTS = {"preemptions": (1, three_preemptions), "cancel": (1, cancelled), "experts": (1, experts_alone), "limit": (1, out_of_time), "nodes": (2, two_nodes)}


class Cluster:
    def __init__(self, folder, nodes):
        self.folder = folder
        os.environ["SLURM_CONF"] = output(CLUSTER, "start", folder, str(nodes)).strip()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for path in sorted(glob.glob(f"{self.folder}/slurm*.log")):
                print(f"--- {os.path.basename(path)}\n" + "".join(open(path).readlines()[-40:]), flush=True)
        subprocess.run([CLUSTER, "stop", self.folder], check=False)


def main():
    if os.geteuid() != 0:
        print("skipped: slurmd starts jobs as their users, for which this test must be root")
        return 77
    start = time.monotonic()
    subprocess.run([CLUSTER, "install"], check=True)
    parts = sys.argv[3:] or list(PARTS)
    with tempfile.TemporaryDirectory() as folder:
        world = World(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), folder)
        calm = {}  # (recipe, run that was never stopped) by its steps
        for nodes in (1, 2):
            chosen = [part for part in parts if PARTS[part][0] == nodes]
            if not chosen:
                continue
            with Cluster(f"{folder}/slurm{nodes}", nodes):
                for part in chosen:
                    wanted = LONG if part == "limit" else WHOLE
                    if wanted not in calm:
                        calm[wanted] = world.recipe(f"recipe{wanted}", steps=wanted, expert_steps=EXPERT), f"{folder}/calm{wanted}"
                        began = time.monotonic()
                        world.run("thinkrec_train", "--config", calm[wanted][0], "--run-dir", calm[wanted][1], ranks=2, timeout=600)
                        print(f"never stopped: {time.monotonic() - began:.0f} s, {wanted} and {EXPERT} steps", flush=True)
                    PARTS[part][1](world, *calm[wanted], folder)
    print(f"slurm: passed in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
