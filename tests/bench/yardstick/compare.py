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


def commands(programs, yard, settings, python=sys.executable, extra=()):
    """What both sides run. settings: stage, dtype, device, threads, batch, steps, warmup."""
    common = [part for name, value in settings.items() for part in (f"--{name}", str(value))] + ["--dropout", "0"]
    yard = pathlib.Path(yard)
    ours = [str(programs), "--model", str(yard / "model"), "--adapter", str(yard / "adapter"), "--workload", str(yard / "workload.jsonl")]
    return ours + common + list(extra), [str(python), str(PEER), "--yard", str(yard)] + common


def compare(ours, peer, rows, pairs, tolerance, say=print):
    """Runs both `pairs` times in turn. Exits when a loss is missing or differs by more than `tolerance`, relative."""
    result = {"ours": [], "peer": [], "speed": [], "cpu_speed": [], "memory": [], "loss_difference": 0.0}
    for pair in range(pairs):
        one, other = measured(ours, rows), measured(peer, rows)
        if len(one["losses"]) != len(other["losses"]) or not all(map(math.isfinite, one["losses"])):
            sys.exit("compare: losses are missing or not finite")
        worst = max(abs(x - y) / max(1e-9, abs(y)) for x, y in zip(one["losses"], other["losses"]))
        result["loss_difference"] = max(result["loss_difference"], worst)
        for name, side in (("ours", one), ("peer", other)):
            result[name].append({key: side[key] for key in ("samples_per_s", "tokens_per_s", "tokens_per_cpu_s", "peak_rss_gb")})
        result["speed"].append(one["samples_per_s"] / other["samples_per_s"])
        result["cpu_speed"].append(one["tokens_per_cpu_s"] / other["tokens_per_cpu_s"])
        result["memory"].append(one["peak_rss_gb"] / other["peak_rss_gb"])
        say(f"pair {pair}: ours {one['samples_per_s']:.3f} rows/s {one['peak_rss_gb']:.2f} GB, peer {other['samples_per_s']:.3f} rows/s "
            f"{other['peak_rss_gb']:.2f} GB, speed x{result['speed'][-1]:.2f}, memory x{result['memory'][-1]:.2f}, loss difference {worst:.1e}")
    if result["loss_difference"] > tolerance:
        sys.exit(f"compare: losses differ by {result['loss_difference']:.1e}, more than {tolerance:.0e}")
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
    result = compare(*commands(a.ours, a.yard, settings), a.batch * a.steps, a.pairs, a.tolerance)
    print(f"{a.stage} {a.dtype}: speed x{statistics.median(result['speed']):.2f}, memory x{statistics.median(result['memory']):.2f}, "
          f"losses agree ({result['loss_difference']:.1e})")


if __name__ == "__main__":
    main()
