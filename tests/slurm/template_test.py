#!/usr/bin/env python3
"""slurm/*.sbatch with stand-ins for mpirun and scontrol: a signal reaches mpirun as USR2, code 75 puts the job back into the queue unless it
was told to end, every other code is passed on.  template_test.py ROOT"""
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

# Writes what it was called with, then waits for USR2; ends with $STOP_CODE a moment after that, or with $CODE at once.
MPIRUN = """#!/usr/bin/env bash
echo "$@" >"$LOGS/mpirun"
trap 'echo USR2 >>"$LOGS/signals"; sleep 0.7; exit "$STOP_CODE"' USR2
trap 'echo TERM >>"$LOGS/signals"; exit 1' TERM
[ -z "${CODE:-}" ] || exit "$CODE"
touch "$LOGS/ready"
while true; do sleep 0.05; done
"""
SCONTROL = """#!/usr/bin/env bash
echo "$@" >"$LOGS/scontrol"
"""


def run(template, signals=(), arguments=(), **more):
    """Exit code, and what the stand-ins wrote."""
    with tempfile.TemporaryDirectory() as logs:
        for name, text in (("mpirun", MPIRUN), ("scontrol", SCONTROL), ("thinkrec_train", "")):
            path = os.path.join(logs, "bin", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755)
        programs = os.path.join(logs, "bin")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment.update({"PATH": programs + ":" + os.environ["PATH"], "LOGS": logs, "SLURM_JOB_ID": "42", "SLURM_NTASKS": "2",
                            "SLURM_SUBMIT_DIR": os.path.dirname(os.path.dirname(template)), "THINKREC_PROGRAMS": programs,
                            "RUN_DIR": "runs/a", "RECIPE": "r.yaml", **more})
        if not environment["RECIPE"]:
            del environment["RECIPE"]
        job = subprocess.Popen(["bash", template, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            if signals:
                while not os.path.exists(os.path.join(logs, "ready")):
                    assert job.poll() is None, job.stdout.read()
                    time.sleep(0.02)
            for number in signals:
                job.send_signal(number)
                time.sleep(0.3)
            output, _ = job.communicate(timeout=30)
        finally:
            if job.poll() is None:
                job.kill()

        def read(name):
            path = os.path.join(logs, name)
            return open(path).read().split() if os.path.exists(path) else None

        return job.returncode, read("mpirun"), read("signals"), read("scontrol"), output


def check(template):
    with open(template) as file:
        text = file.read()
    for line in ("--signal=B:USR2@120", "--requeue", "--open-mode=append"):
        assert re.search(rf"^#SBATCH {line}$", text, re.MULTILINE), (template, line)

    code, command, signals, requeue, output = run(template, CODE="0", arguments=["--set", "a=b"])
    assert (code, signals, requeue) == (0, None, None), output
    assert command[:3] == ["-np", "2", "--oversubscribe"], command
    stages = ["--stages", "group,expert,evaluate"] if template.endswith("experts.sbatch") else []
    assert command[-(6 + len(stages)):] == ["--config", "r.yaml", "--run-dir", "runs/a", *stages, "--set", "a=b"], command
    for failure in ("1", "66", "137", "140"):
        code, _, _, requeue, output = run(template, CODE=failure)
        assert (code, requeue) == (int(failure), None), output
    code, _, _, requeue, output = run(template, CODE="75")  # stopped by another's signal
    assert (code, requeue) == (75, ["requeue", "42"]), output
    # The trap interrupts wait once, and, with two signals, twice. 140: the ranks were not yet ready for the signal.
    for sent, stopped in (([signal.SIGUSR2], 75), ([signal.SIGUSR2, signal.SIGUSR2], 75), ([signal.SIGUSR2], 140)):
        code, _, signals, requeue, output = run(template, sent, STOP_CODE=str(stopped))
        assert (code, requeue) == (stopped, ["requeue", "42"]), (sent, code, output)
        assert signals and set(signals) == {"USR2"}, signals
    for sent in ([signal.SIGTERM], [signal.SIGUSR2, signal.SIGTERM]):  # the job was told to end
        code, _, signals, requeue, output = run(template, sent, STOP_CODE="75")
        assert (code, requeue) == (75, None), (sent, code, output)
        assert signals and set(signals) == {"USR2"}, signals
    code, _, signals, requeue, output = run(template, [signal.SIGUSR2], STOP_CODE="74")  # the checkpoint could not be written
    assert (code, signals, requeue) == (74, ["USR2"], None), output
    code, command, _, _, output = run(template, CODE="0", RECIPE="")
    assert code != 0 and command is None and "set RECIPE" in output, output


def main():
    templates = sorted(glob.glob(os.path.join(os.path.abspath(sys.argv[1]), "slurm", "*.sbatch")))
    assert [os.path.basename(path) for path in templates] == ["experts.sbatch", "multi_node.sbatch", "single_node.sbatch"], templates
    for template in templates:
        check(template)
    print("slurm templates: all as they should be")


if __name__ == "__main__":
    main()
