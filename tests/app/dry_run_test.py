#!/usr/bin/env python3
"""thinkrec_train --dry-run against the run itself: its steps, teams and tokens, its peak memory, its checkpoints; models without weights, bounds
that are too small, and what it refuses.

  dry_run_test.py PROGRAMS SOURCE
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from tiny_world import World, metrics

# Runs a program and writes its largest resident set, in bytes, into a file of its process.
PEAK = "import os, resource, subprocess, sys; code = subprocess.run(sys.argv[2:]).returncode; " \
       "open(f'{sys.argv[1]}.{os.getpid()}', 'w').write(str(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(code)"
LLAMA = "configs/models/llama-3-8b"


class Case:
    def __init__(self, world, folder):
        self.world, self.folder = world, folder

    def files(self):
        """All below the folder, with the sizes and times of files."""
        found = {}
        for folder, folders, names in os.walk(self.folder):
            found.update((os.path.join(folder, name), None) for name in folders)
            for path in (os.path.join(folder, name) for name in names):
                found[path] = os.stat(path).st_size, os.stat(path).st_mtime_ns
        return found

    def forecast(self, recipe, *arguments, code=0):
        """What the dry run says; it leaves the folder, in which it is at work, as it was."""
        path = f"{self.folder}/forecast.json"
        before, begin = self.files(), time.time()
        done = self.world.run("thinkrec_train", "--config", recipe, "--dry-run", "--json", path, *arguments, code=code, cwd=self.folder)
        took, after, forecast = time.time() - begin, self.files(), json.load(open(path))
        changed = {name for name, _ in before.items() ^ after.items()} - {path}
        assert not changed, f"--dry-run {' '.join(arguments)} changed {sorted(changed)}"
        forecast["took"], forecast["text"], forecast["error"] = took, done.stdout, done.stderr
        return forecast

    def refused(self, recipe, code, part, *arguments, **more):
        done = self.world.run("thinkrec_train", "--config", recipe, *arguments, code=code, **more)
        assert part in done.stderr, f"'{part}' is not in: {done.stderr}"

    def peaks(self, recipe, run_dir, ranks, *arguments):
        """Largest resident set of each rank of a run."""
        place = f"{run_dir}-peak"
        command = [sys.executable, "-c", PEAK, place, *self.world.command("thinkrec_train", "--config", recipe, "--run-dir", run_dir, *arguments)]
        launcher = [f"{self.world.source}/launch/run.sh", "--ranks", str(ranks)]
        done = subprocess.run(launcher + command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        base = os.path.basename(place)
        peaks = [int(open(os.path.join(self.folder, name)).read()) for name in os.listdir(self.folder) if name.startswith(base + ".")]
        assert len(peaks) == ranks, peaks
        return peaks, done.stderr


def is_the_run(case):
    recipe = case.world.recipe("run", steps=12)
    for ranks in (1, 2, 3, 8):
        forecast = case.forecast(recipe, "--ranks", str(ranks))
        run = f"{case.folder}/run-{ranks}"
        peaks, log = case.peaks(recipe, run, ranks)
        wanted = forecast["memory"]["rank_peak_bytes"]
        for peak in peaks:
            assert abs(wanted / peak - 1) < .1, f"{ranks} ranks: {wanted / 2**20:.1f} MiB forecast, {peak / 2**20:.1f} measured"
        print(f"{ranks} ranks: {wanted / 2**20:.1f} MiB forecast, {max(peaks) / 2**20:.1f} measured", flush=True)

        phases = {phase["stage"]: phase for phase in forecast["phases"]}
        rows = metrics(run, "activate/main")
        tokens = sum(6 * row["tokens_per_s"] / row["rows_per_s"] for row in rows.values()) / len(rows)
        assert abs(phases["activate/main"]["tokens_per_step"] / tokens - 1) < 1e-6, (phases["activate/main"]["tokens_per_step"], tokens)
        assert phases["activate/main"]["steps"] == len(rows) == phases["activate/main"]["steps_planned"]

        # The teams are those that the run forms: groups differ, but an expert's work is its steps.
        teams = re.findall(r"expert: team \d+ of (\d+) ranks trains expert ([\d, ]+)", log)
        formed = sorted((int(size), [int(e) for e in names.split(", ")]) for size, names in teams)
        planned = sorted((phase["ranks"], [int(e) for e in stage[7:].split("+")]) for stage, phase in phases.items() if stage.startswith("expert/"))
        assert formed == planned, (formed, planned)
        assert sum(size for size, _ in planned) == ranks
        told = {}  # for the report
        for stage, team in json.load(open(f"{run}/teams.json")).items():
            told.setdefault((team["first_rank"], team["ranks"]), []).append(int(stage[7:]))
        assert sorted((size, sorted(experts)) for (_, size), experts in told.items()) == planned, told

        # What a checkpoint holds, four bytes a value, beside its HDF5 frame.
        folder = f"{run}/checkpoints/activate-0-main"
        kept = [name for name in os.listdir(folder) if name.startswith("step-") and name != "step-12"]
        size = os.path.getsize(f"{folder}/{kept[0]}/state.h5")
        assert 0 <= size - phases["activate/main"]["checkpoint_bytes"] < 60000, (size, phases["activate/main"]["checkpoint_bytes"])


def counts_once_what_rows_begin_with(case):
    """Rows of a user that are computed together (mix.rows_per_user): the tokens of a step are those that the run computes."""
    recipe, more = case.world.recipe("shares", steps=12), ("--set", "mix.rows_per_user=3", "--set", "activate.phases.0.batch=12", "--set", "run.micro_tokens=500")
    for ranks in (1, 2):
        planned = case.forecast(recipe, *more, "--ranks", str(ranks))["phases"][0]["tokens_per_step"]
        run = f"{case.folder}/shares-{ranks}"
        case.world.train(recipe, run, *more, "--stages", "encode,activate", ranks=ranks)
        steps = metrics(run, "activate/main").values()
        computed = sum(12 * row["tokens_per_s"] / row["rows_per_s"] * row["computed_share"] for row in steps) / len(steps)
        assert len(steps) == 12 and max(row["computed_share"] for row in steps) < .95, steps
        assert abs(planned / computed - 1) < 1e-6, (ranks, planned, computed)


def grows_with_a_pass(case):
    """What a pass needs is next to nothing for the tiny model's few rows beside what any program has: here it is sixteen times as much."""
    recipe = case.world.recipe("pass", steps=3)
    forecast, measured = [], []
    for batch in (6, 96):
        arguments = ("--set", "run.micro_tokens=40000", "--set", f"activate.phases.0.batch={batch}")
        forecast.append(case.forecast(recipe, *arguments)["memory"]["rank_peak_bytes"])
        measured += case.peaks(recipe, f"{case.folder}/pass-{batch}", 1, *arguments)[0]
    grown = (forecast[1] - forecast[0]) / (measured[1] - measured[0])
    print(f"a pass of 96 rows over one of 6: {measured[1] - measured[0] >> 20} MiB more, {grown:.2f} of it forecast", flush=True)
    assert measured[1] - measured[0] > 30 << 20 and abs(grown - 1) < .3, (forecast, measured)
    assert abs(forecast[1] / measured[1] - 1) < .1, (forecast, measured)


def is_quick_and_on_no_rank(case):
    recipe = case.world.recipe("eight", steps=200, expert_steps=100)
    forecast = case.forecast(recipe, "--ranks", "8", "--set", "run.threads=0", "--run-dir", f"{case.folder}/nowhere/run")  # which it does not make
    assert forecast["took"] < 10, forecast["took"]
    assert forecast["ranks"]["threads"] == 1 and forecast["memory"]["node_bytes"] > 7 * forecast["memory"]["rank_peak_bytes"]
    assert all(0 < phase["balance"] <= 1 for phase in forecast["phases"]), forecast["phases"]
    assert forecast["phases"][0]["most_idle_ranks"] == 2 and "up to 2 of 8 ranks have no row" in forecast["text"], forecast["text"]
    print(f"8 ranks: {forecast['took']:.1f} s", flush=True)


def needs_no_weights(case):
    recipe = case.world.recipe("shape")
    model = ("--set", f"model.path={case.world.source}/{LLAMA}", "--set", f"model.tokenizer={case.world.folder}/model", "--set",
             "run.device=auto", "--gpu", "h100")
    memory = {}
    for ranks in (8, 64):
        forecast = case.forecast(recipe, *model, "--ranks", str(ranks), "--set", "activate.phases.0.batch=128")
        assert forecast["model"] == {**forecast["model"], "parameters": 8030261248, "dtype": "bf16", "weights_at_hand": False}, forecast["model"]
        assert forecast["speed"]["flops_per_second"] == .4 * 989e12
        memory[ranks] = forecast["phases"][0]["memory"]
        assert memory[ranks]["weights"] > 2 * 8030261248 and memory[ranks]["NCCL"] > 0
        assert forecast["phases"][0]["largest_pass_tokens"] <= 650, forecast["phases"][0]  # run.micro_tokens, or one row
        assert forecast["phases"][0]["balance"] > .75
        assert forecast["took"] < 10, forecast["took"]
    assert memory[8]["weights"] == memory[64]["weights"]
    case.forecast(recipe, "--set", f"model.path={case.world.source}/{LLAMA}/config.json", *model[2:])
    known = re.search(r"--gpu.*?\ba10\|([a-z0-9|-]+)", case.world.run("thinkrec_train", "--help").stdout, re.S).group(1).split("|")
    assert "h200" in known, known
    for name in ["a10", *known]:  # every name that the option takes
        assert case.forecast(recipe, *model[:-1], name)["speed"]["peak_flops_per_second"] >= 1e14, name
    case.refused(recipe, 78, "set model.tokenizer", "--dry-run", *model[:2])
    # As training says it.
    case.refused(recipe, 66, "no such model", "--dry-run", "--set", "model.path=/nowhere")


def names_what_does_not_fit(case):
    recipe = case.world.recipe("bounds")
    model = ("--set", f"model.path={case.world.source}/{LLAMA}", "--set", f"model.tokenizer={case.world.folder}/model", "--gpu", "a10")
    forecast = case.forecast(recipe, *model, "--memory", "4", code=78)
    assert "has 4096.0 MiB" in forecast["error"] and "use a smaller model or a GPU with more memory" in forecast["error"], forecast["error"]
    # Room for some tokens: the number that it gives is the remedy, and one more is too many.
    large = (*model, "--set", "activate.phases.0.batch=64", "--set", "run.micro_tokens=40000", "--set", "expert.steps=0", "--memory", "20")
    forecast = case.forecast(recipe, *large, code=78)
    found = re.search(r"set run.micro_tokens=(\d+) or less", forecast["error"])
    assert found, forecast["error"]
    fits = int(found.group(1))
    assert 632 <= fits < 40000, fits
    case.forecast(recipe, *large, "--set", f"run.micro_tokens={fits}")
    case.forecast(recipe, *large, "--set", f"run.micro_tokens={fits + 1500}", code=78)
    # On a CPU, where the heap and the room that products work in grow with a pass, too.
    large_cpu = ("--set", "activate.phases.0.batch=64", "--set", "run.micro_tokens=40000", "--set", "expert.steps=0")
    memory = case.forecast(recipe, *large_cpu)["phases"][0]["memory"]
    room = ("--memory", str((sum(memory.values()) - .5 * (memory["activations"] + memory["heap between passes"])) / 2**30))
    found = re.search(r"set run.micro_tokens=(\d+) or less", case.forecast(recipe, *large_cpu, *room, code=78)["error"])
    fits = int(found.group(1))
    assert 632 <= fits < 40000, fits
    case.forecast(recipe, *large_cpu, *room, "--set", f"run.micro_tokens={fits}")
    case.forecast(recipe, *large_cpu, *room, "--set", f"run.micro_tokens={fits + 1500}", code=78)
    # Not even one row.
    fixed = sum(value for name, value in forecast["phases"][0]["memory"].items() if name not in ("activations", "logits or gradients in flight"))
    forecast = case.forecast(recipe, *large[:-2], "--memory", f"{fixed / 2**30 + .05}", code=78)
    assert "lower prompt.max_tokens or prompt.history" in forecast["error"], forecast["error"]
    # More positions than the model has.
    short = f"{case.folder}/short"
    os.makedirs(short)
    config = json.load(open(f"{case.world.folder}/model/config.json"))
    json.dump({**config, "max_position_embeddings": 128}, open(f"{short}/config.json", "w"))
    forecast = case.forecast(recipe, "--set", f"model.path={short}", "--set", f"model.tokenizer={case.world.folder}/model", code=78)
    assert "the model 128 positions" in forecast["error"], forecast["error"]
    forecast = case.forecast(recipe, *model[:4], "--set", "projector.expansion=1000", "--set", "encoder.width=4096", "--set", "run.keep_last=1000", code=78)
    assert "lower run.keep_last" in forecast["error"], forecast["error"]


def stages_without_steps_count_nothing(case):
    """The speed is that of a pass of the run, and not of a last phase that has none; an evaluation alone knows the length of its prompts."""
    recipe, steps = case.world.recipe("phases"), ("--set", "expert.steps=0")
    whole, alone = case.forecast(recipe), case.forecast(recipe, *steps)
    assert whole["speed"]["measured_tokens"] == alone["speed"]["measured_tokens"] == max(phase["largest_pass_tokens"] for phase in whole["phases"]) > 50, alone
    bounded = case.forecast(recipe, *steps, "--memory", "4")
    assert [phase["steps"] for phase in bounded["phases"]] == [8, 0], bounded["phases"]
    scored = case.forecast(recipe, "--stages", "evaluate")
    assert scored["phases"] == [] and scored["prompts"], scored
    ratio = scored["time"]["evaluation_seconds_at_most"] * scored["speed"]["flops_per_second"] / (whole["time"]["evaluation_seconds_at_most"] * whole["speed"]["flops_per_second"])
    assert abs(ratio - 1) < .01, ratio


def refuses(case):
    recipe = case.world.recipe("refused")
    case.refused(recipe, 64, "give --ranks 3", "--dry-run", env={**os.environ, "OMPI_COMM_WORLD_SIZE": "3"})
    case.refused(recipe, 64, "--gpu goes with --dry-run", "--gpu", "h100", "--run-dir", f"{case.folder}/x")
    case.refused(recipe, 64, "start ranks by launch/run.sh", "--ranks", "2", "--run-dir", f"{case.folder}/x")
    case.refused(recipe, 64, "--gpu", "--dry-run", "--gpu", "h10")
    case.refused(recipe, 64, "say which GPU by --gpu", "--dry-run", "--set", "run.device=cuda")
    case.refused(recipe, 64, "run.device is cpu", "--dry-run", "--set", "run.device=cpu", "--gpu", "h100")
    case.refused(recipe, 78, "bf16 is for GPUs", "--dry-run", "--set", "run.dtype=bf16")
    case.refused(recipe, 78, "data.path is not set", "--dry-run", "--set", "data.path=")
    case.refused(recipe, 78, "model.path is not set", "--dry-run", "--set", "model.path=")
    case.refused(recipe, 65, "do not fit in prompt.max_tokens = 40", "--dry-run", "--set", "prompt.max_tokens=40")
    # A tokenizer of more tokens than the model embeds.
    small = f"{case.folder}/small"
    os.makedirs(small)
    config = json.load(open(f"{case.world.folder}/model/config.json"))
    json.dump({**config, "vocab_size": 100}, open(f"{small}/config.json", "w"))
    case.refused(recipe, 65, "do not belong together", "--dry-run", "--set", f"model.path={small}", "--set", f"model.tokenizer={case.world.folder}/model")


def main():
    programs, source = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        case = Case(World(programs, source, folder), folder)
        for check in (is_the_run, counts_once_what_rows_begin_with, grows_with_a_pass, is_quick_and_on_no_rank, needs_no_weights, names_what_does_not_fit,
                      stages_without_steps_count_nothing, refuses):
            check(case)


main()
