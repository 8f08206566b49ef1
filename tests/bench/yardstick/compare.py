#!/usr/bin/env python3
"""thinkrec_bench and the same step as Hugging Face PEFT users write it, in turn on one machine: the same model, adapter, rows and order.

  compare.py --yard build/yardstick/30m --ours build/release/thinkrec_bench [--stage global] [--threads 1] [--pairs 3]

Both train the same rows with dropout 0, so the losses of every step must agree: a speed without equal losses does not count. Prints the
ratios pair by pair and their medians.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PEER = pathlib.Path(__file__).resolve().parent / "peer_peft.py"


def measured(command, rows):
    """Runs a program; its last JSON line, with peak memory and wall time as the operating system saw them."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        line = next((line for line in reversed(out.read().strip().splitlines()) if line.startswith("{")), None)
        if status != 0 or line is None:
            code = os.waitstatus_to_exitcode(status)
            sys.exit(f"compare: {command[0]}: exit status {code}, {'failed' if line else 'no JSON line'}: {err.read()[-800:]}")
    result = json.loads(line)
    result["peak_rss_gb"] = usage.ru_maxrss / 2**20
    if wall < rows / result["samples_per_s"]:
        sys.exit(f"compare: {command[0]} claims {rows / result['samples_per_s']:.2f} s for the timed steps, the process took {wall:.2f} s")
    return result


def commands(programs, yard, settings, python=sys.executable):
    """What both sides run. settings: stage, dtype, device, threads, batch, steps, warmup."""
    common = [part for name, value in settings.items() for part in (f"--{name}", str(value))] + ["--dropout", "0"]
    yard = pathlib.Path(yard)
    ours = [str(programs), "--model", str(yard / "model"), "--adapter", str(yard / "adapter"), "--workload", str(yard / "workload.jsonl")]
    return ours + common, [str(python), str(PEER), "--yard", str(yard)] + common


def difference(losses, others):
    """The largest difference of two lists of losses, relative to the second; infinite where one is longer or has one that is not finite."""
    if len(losses) != len(others) or not all(map(math.isfinite, (*losses, *others))):
        return math.inf
    return max(abs(x - y) / max(1e-9, abs(y)) for x, y in zip(losses, others))


def in_turn(sides, rows, pairs, tolerance, say=print):
    """Runs the commands of `sides`, of which one is called "peer", `pairs` times in turn: the results of each. Exits when a loss is missing
    or differs from the peer's by more than `tolerance`, relative."""
    runs = {name: [] for name in sides}
    worst = 0.0
    for pair in range(pairs):
        for name, command in sides.items():
            runs[name].append(measured(command, rows))
        peer = runs["peer"][-1]["losses"]
        for name in sides:
            losses = runs[name][-1]["losses"]
            if len(losses) != len(peer) or not all(map(math.isfinite, losses)):
                sys.exit("compare: losses are missing or not finite")
            worst = max(worst, difference(losses, peer))
        say(f"pair {pair}: " + ", ".join(f"{name} {of[-1]['samples_per_s']:.3f} rows/s {of[-1]['peak_rss_gb']:.2f} GB" for name, of in runs.items()) +
            f", largest loss difference {worst:.1e}")
    if worst > tolerance:
        sys.exit(f"compare: losses differ by {worst:.1e}, more than {tolerance:.0e}")
    return runs


def since(run, first):
    """A run's figures from step `first` (counted with the warm-up) to its end."""
    seconds, cpu, tokens = (run[key][first:] for key in ("step_seconds", "step_cpu_s", "step_tokens"))
    return {"samples_per_s": run["batch"] * len(seconds) / sum(seconds), "tokens_per_s": sum(tokens) / sum(seconds),
            "tokens_per_cpu_s": sum(tokens) / max(1e-9, sum(cpu)), "peak_rss_gb": run["peak_rss_gb"]}


def ratios(ours, peer, first=None):
    """Figures of two sides' runs and, pair by pair, their ratios; with `first`, of the steps from that one on."""
    result = {"ours": [], "peer": [], "speed": [], "cpu_speed": [], "memory": [], "loss_difference": 0.0}
    for pair in zip(ours, peer):
        keys = ("samples_per_s", "tokens_per_s", "tokens_per_cpu_s", "peak_rss_gb")
        one, other = ({key: run[key] for key in keys} if first is None else since(run, first) for run in pair)
        result["ours"].append(one)
        result["peer"].append(other)
        for name, key in (("speed", "samples_per_s"), ("cpu_speed", "tokens_per_cpu_s"), ("memory", "peak_rss_gb")):
            result[name].append(one[key] / other[key])
        result["loss_difference"] = max(result["loss_difference"], difference(pair[0]["losses"], pair[1]["losses"]))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yard", required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--stage", default="global", choices=["global", "expert"])
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--device", default="cpu")
    for name, default in (("threads", 1), ("batch", 8), ("steps", 6), ("warmup", 2), ("pairs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tolerance", type=float, default=2e-4, help="relative, on every step's loss")
    a = parser.parse_args()
    settings = {name: getattr(a, name) for name in ("stage", "dtype", "device", "threads", "batch", "steps", "warmup")}
    ours, peer = commands(a.ours, a.yard, settings)
    runs = in_turn({"ours": ours, "peer": peer}, a.batch * a.steps, a.pairs, a.tolerance)
    result = ratios(runs["ours"], runs["peer"])
    print(f"{a.stage} {a.dtype}: speed x{statistics.median(result['speed']):.2f}, memory x{statistics.median(result['memory']):.2f}, "
          f"losses agree ({result['loss_difference']:.1e})")


if __name__ == "__main__":
    main()
