#!/usr/bin/env python3
"""slurm/thinkrec.sbatch with stand-ins for mpirun and scontrol: a signal reaches mpirun as USR2, code 75 puts the job back into the
queue, every other code is passed on.  slurm_template_test.py ROOT"""
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


def run(template, signals=(), **more):
    """Exit code, and what the stand-ins wrote."""
    with tempfile.TemporaryDirectory() as logs:
        for name, text in (("mpirun", MPIRUN), ("scontrol", SCONTROL)):
            path = os.path.join(logs, "bin", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755)
        environment = dict(os.environ, PATH=os.path.join(logs, "bin") + ":" + os.environ["PATH"], LOGS=logs, SLURM_JOB_ID="42",
                           SLURM_SUBMIT_DIR=logs, RUN_DIR="runs/a", **dict({"RECIPE": "r.yaml"}, **more))
        if not environment["RECIPE"]:
            del environment["RECIPE"]
        job = subprocess.Popen(["bash", template], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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


def main():
    template = os.path.join(sys.argv[1], "slurm", "thinkrec.sbatch")
    with open(template) as file:
        text = file.read()
    assert re.search(r"^#SBATCH --signal=B:USR2@120$", text, re.MULTILINE) and re.search(r"^#SBATCH --requeue$", text, re.MULTILINE)

    code, command, signals, requeue, output = run(template, CODE="0")
    assert (code, signals, requeue) == (0, None, None), output
    assert command[-4:] == ["--config", "r.yaml", "--run-dir", "runs/a"], command
    for failure in ("1", "66", "137"):
        code, _, _, requeue, output = run(template, CODE=failure)
        assert (code, requeue) == (int(failure), None), output
    code, _, _, requeue, output = run(template, CODE="75")  # stopped by another's signal
    assert (code, requeue) == (75, ["requeue", "42"]), output
    # The trap interrupts wait once, and, with two signals, twice.
    for sent in ([signal.SIGUSR2], [signal.SIGTERM], [signal.SIGUSR2, signal.SIGUSR2]):
        code, _, signals, requeue, output = run(template, sent, STOP_CODE="75")
        assert (code, requeue) == (75, ["requeue", "42"]), (sent, code, output)
        assert signals and set(signals) == {"USR2"}, signals
    code, _, signals, requeue, output = run(template, [signal.SIGUSR2], STOP_CODE="74")  # the checkpoint could not be written
    assert (code, signals, requeue) == (74, ["USR2"], None), output
    code, command, _, _, output = run(template, CODE="0", RECIPE="")
    assert code != 0 and command is None and "set RECIPE" in output, output
    print("slurm template: all as it should be")


if __name__ == "__main__":
    main()
