#!/usr/bin/env python3
"""Not a test: seconds of a train epoch, thinkrec beside RecBole 1.2.1 on the same rows, in turn. On a quiet machine:
  setup.sh .cache/recbole
  compare.py --programs build/release --data data/ml1m.h5 --python .cache/recbole/bin/python [--json FILE]

thinkrec's epoch is the difference of two runs of thinkrec_tune with E + 1 epochs and with 1, over E; it holds the scoring of the valid
rows after each epoch. RecBole's is its trainer's _train_epoch alone, after one that is not timed. Both: AdamW or Adam, width 64, batches
of 1024 rows, 2 layers, 25 items of history, the same threads and libtorch, OMP_WAIT_POLICY=passive. The valid AUC after those epochs
(they are not as many on both sides) shows that both learn; a side with .5 or less ends the comparison. Seconds are printed in the order of
the pairs; the ratio is the median of the pairs' ratios, with the least and most. FILE gets all of it, with machine and commit.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "launch"))
import measuring  # noqa: E402

#      what is compared: thinkrec's settings, RecBole's kind, epochs of thinkrec and of RecBole
ROWS = {"MF": (["encoder.kind=mf"], "mf", 40, 10),
        "MF, beside GMF": (["encoder.kind=mf"], "gmf", 40, 10),
        "LightGCN": (["encoder.kind=lightgcn"], "lightgcn", 20, 5),
        "SASRec": (["encoder.kind=sasrec"], "sasrec", 4, 2),
        "SASRec, a pass a row": (["encoder.kind=sasrec", "encoder.all_positions=false"], "sasrec", 2, 2)}


def run(command, environment):
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"compare: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def surroundings(arguments):
    """Where and of what the figures are."""
    return {"command": " ".join(["tests/bench/recbole/compare.py", *sys.argv[1:]]),
            "commit": measuring.commits(arguments.programs / "thinkrec_tune"), "date": time.strftime("%Y-%m-%d", time.gmtime()), "cpu": measuring.processor(), "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 2), "threads": arguments.threads, "pairs": arguments.pairs, "rows": []}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, type=pathlib.Path, help="folder of thinkrec_tune")
    parser.add_argument("--data", required=True, help="HDF5 file of thinkrec_prepare")
    parser.add_argument("--python", required=True, help="of the environment that setup.sh makes")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path, help="file for all seconds, with machine and commit; written after each row")
    parser.add_argument("rows", nargs="*", default=list(ROWS), help=f"of {', '.join(ROWS)}")
    arguments = parser.parse_args()
    for name in arguments.rows:
        if name not in ROWS:
            parser.error(f"no row '{name}'; there are {', '.join(ROWS)}")
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "passive"}
    result = surroundings(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "recipe.yaml").write_text("encoder: {width: 64, batch: 1024, blocks: 2, layers: 2, max_length: 25, warm_start: false}\n")

        def tune(settings, epochs):
            output = tempfile.mkdtemp(dir=work)  # a new one each time: what is there would not be done again
            command = [arguments.programs / "thinkrec_tune", "--config", work / "recipe.yaml", "--output", output]
            for setting in settings + [f"data.path={arguments.data}", f"encoder.max_epochs={epochs}", "encoder.patience=1000",
                                       f"run.threads={arguments.threads}"]:
                command += ["--set", setting]
            start = time.perf_counter()
            run(command, environment)
            seconds = time.perf_counter() - start
            return seconds, json.loads((pathlib.Path(output) / "chosen.json").read_text())["valid"]["auc"]

        def recbole(kind, epochs):
            text = run([arguments.python, pathlib.Path(__file__).parent / "epochs.py", "--data", arguments.data, "--work", work / kind,
                        "--kind", kind, "--epochs", epochs, "--threads", arguments.threads], environment)
            result = json.loads(text.splitlines()[-1])
            return result["seconds"], result["valid_auc"]

        print("| encoder | thinkrec, s | RecBole, s | ratio of the pairs | valid AUC, ours and theirs | load before |\n|---|---|---|---|---|---|",
              flush=True)
        for name in arguments.rows:
            settings, kind, epochs, theirs_epochs = ROWS[name]
            ours, theirs, aucs, load = [], [], [0, 0], os.getloadavg()[0]
            for _ in range(arguments.pairs):
                (all_epochs, aucs[0]), (one_epoch, _) = tune(settings, epochs + 1), tune(settings, 1)
                ours.append((all_epochs - one_epoch) / epochs)
                seconds, aucs[1] = recbole(kind, theirs_epochs)
                theirs.append(seconds)
            if min(aucs) <= .5:
                sys.exit(f"compare: {name}: valid AUC {aucs}: a side does not learn, its time says nothing")
            shown = [" ".join(f"{value:.3f}" for value in values) for values in (ours, theirs)]
            ratios = [other / own for own, other in zip(ours, theirs)]
            print(f"| {name} | {shown[0]} | {shown[1]} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) | "
                  f"{aucs[0]:.3f} {aucs[1]:.3f} | {load:.1f} |", flush=True)
            result["rows"].append({"encoder": name, "thinkrec_s": ours, "recbole_s": theirs, "ratios": ratios, "valid_auc": aucs, "load": load})
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
