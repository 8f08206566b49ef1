#!/usr/bin/env python3
"""launch/simulate.py: how it reads a record of collectives, and, with --replay, SimGrid's answer where it can be worked out.
simulate_test.py ROOT [--replay PROGRAMS]"""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1]).resolve()
SCRIPT = ROOT / "launch/simulate.py"
sys.path.insert(0, str(SCRIPT.parent))
spec = importlib.util.spec_from_file_location("simulate", SCRIPT)
simulate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(simulate)

HEAD = "number\tbegin_s\tend_s\tgroup\tcall\tbytes\twhere\tstep"
START = ["world\tbroadcast\t16\tstart\t0", "world/node\tallocate_shared\t4096\tstart\t0", "world/node\tbarrier\t0\tstart\t0"]
STEP = ["world\tall_reduce_sum\t400\tactivate/main\t{}", "world\tall_gather\t72\tactivate/main\t{}", "world\tall_reduce_max\t8\tactivate/main\t{}"]
EVALUATE = ["world\tall_gather\t240\tevaluate\t0"]
SIZES = {"ranks": 2, "rows_per_step": 6, "valid_rows": 16, "test_rows": 20, "trained_values": 100}


def steps(*more):
    lines = []
    for step in range(1, 5):
        lines += [line.format(step) for line in STEP]
        lines += [line.format(step) for line in (more if step % 2 == 0 else ())]
    return lines


def write(folder, lines, head=HEAD, sizes=SIZES):
    text = "\n".join([head, *(f"{i}\t0.1\t0.2\t{line}" for i, line in enumerate(lines))]) + "\n"
    (folder / "collectives.tsv").write_text(text)
    (folder / "recorded.json").write_text(json.dumps(sizes))
    return folder


def refuses(words, folder, *arguments):
    done = subprocess.run([sys.executable, SCRIPT, "--results", folder, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and words in done.stderr, (words, done.stderr)


def reading(folder):
    valid = "world\tall_gather\t192\tactivate/main\t{}"
    good = START + steps(valid) + EVALUATE
    record = simulate.Record(write(folder, good))
    assert [call[1] for call in record.step] == ["all_reduce_sum", "all_gather", "all_reduce_max"], record.step
    assert [call[2] for call in record.validation] == [192] and len(record.start) == 3 and len(record.evaluate) == 1
    # What a node shares is memory and is not sent; sizes are scaled before they are rounded up to floats.
    assert simulate.actions(record.start, lambda _, size: size) == [f"bcast 16 0 {simulate.BYTE}"]
    assert simulate.actions(record.step, lambda _, size: size * 2) == [
        f"allreduce 200 0 {simulate.FLOAT}", f"allgather 144 144 {simulate.BYTE} {simulate.BYTE}", f"allreduce 4 0 {simulate.FLOAT}"]
    # A scoring is computed once, however many collectives it has: a stop is asked for before the scores are gathered.
    asked = "world\tall_reduce_max\t8\tactivate/main\t{}"
    twice = simulate.Record(write(folder, START + steps(asked, valid, asked, valid) + EVALUATE)).validation
    assert simulate.scorings(twice) == 2 and len(twice) == 4, twice
    kinds = [line.split()[0] for line in simulate.scored([*twice, twice[0]], simulate.compute(1), lambda _, size: size)]
    assert kinds == ["compute", "allreduce", "allgather"] * 2 + ["allreduce"], kinds
    for words, lines, more in (("not a record of collectives", good, {"head": "number\tcall"}),
                               ("needs a start, two steps", steps(valid) + EVALUATE, {}),
                               ("needs a start, two steps", START + steps(valid), {}),
                               ("do not call the same collectives", START + steps() + EVALUATE, {}),
                               ("do not call the same collectives", [line.replace("reduce_max", "gather") if line.endswith("\t3") else line for line in good], {}),
                               ("not the gradients of 101 values", good, {"sizes": {**SIZES, "trained_values": 101}})):
        refuses(words, write(folder, lines, **more))
    write(folder, [line.replace("broadcast", "dance") for line in good])
    try:
        simulate.actions(simulate.Record(folder).start, lambda _, size: size)
        raise AssertionError("a collective without a model was replayed")
    except SystemExit as reason:
        assert "no model of the collective 'dance'" in str(reason), reason
    refuses("--ranks 0: numbers from 1", folder, "--ranks", "0")
    (folder / "collectives.tsv").unlink()
    refuses("launch/scaling.sh leaves it", folder)


def replaying(folder, programs):
    # Computation alone takes as long as its slowest rank, and a ring over two nodes what its bytes and hops cost.
    assert abs(simulate.replay(folder, 8, [[simulate.compute(.1 * (1 + rank % 2)), "barrier"] for rank in range(8)]) - .2) < .001
    size, platform = 40_000_000, simulate.PLATFORM
    took = simulate.replay(folder, 16, [[f"allreduce {size // 4} 0 {simulate.FLOAT}"] for _ in range(16)], "lr")
    hops, least = 30, 2 * size * 15 / 16 / platform["network_bytes_per_s"]
    assert least <= took <= 1.2 * least + hops * (platform["network_latency_s"] + platform["nvlink_latency_s"]) * 2, (took, least)
    results = folder / "scaling"
    results.mkdir()
    for name in ("collectives.tsv", "recorded.json"):
        (results / name).write_text((ROOT / "docs/scaling" / name).read_text())
    subprocess.run([sys.executable, SCRIPT, "--results", results, "--programs", programs, "--ranks", "1,8,64"], check=True)
    rows = json.loads((results / "simulated.json").read_text())["simulated"]
    assert [row["ranks"] for row in rows] == [1, 8, 64] and rows[0]["balance"] == 1, rows
    assert all(.9 < row["ring_efficiency"] <= row["efficiency"] <= 1 for row in rows), rows
    assert "Not simulated yet" not in (folder / "scaling.md").read_text()


with tempfile.TemporaryDirectory() as name:
    reading(pathlib.Path(name))
    if sys.argv[2:3] == ["--replay"]:
        replaying(pathlib.Path(name), sys.argv[3])
print("simulate: passed")
