#!/usr/bin/env python3
"""docs/results.py: the page is what docs/results/ gives, and says what has not run."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def run(*arguments):
    return subprocess.run([sys.executable, ROOT / "docs" / "results.py", *map(str, arguments)], capture_output=True, text=True)


def metrics(start):
    values = {}
    for number, key in enumerate(("auc", "uauc", "ndcg@5", "map@5")):
        values[key] = start + number / 100
        values[key + "_ci"] = [values[key] - .01, values[key] + .01]
    return values


def evaluation(start, rows):
    return {"rows": rows, "models": {name: metrics(start + i / 1000) for i, name in enumerate(("item_mean", "logistic", "encoder", "fused"))},
            "difference": {f"fused - {name}": metrics(.001) for name in ("item_mean", "logistic", "encoder")},
            "cohens_d": {"train_rows": .5, "features": start}}


def main():
    assert run("--check").returncode == 0, run("--check").stderr
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "results"
        folder.mkdir()
        assert run(folder).returncode == 0
        page = folder.with_suffix(".md")
        empty = page.read_text(encoding="utf-8")
        assert empty.count("*not yet run*") > 20 and "![" not in empty
        for number, row in enumerate(("thinkrec", "tallrec", "experts-1", "experts-2", "group-mf-ward", "group-sasrec-kmeans")):
            write(folder / row / "evaluation.json", evaluation(.7 + number / 100, 7331 - number))
            if row == "thinkrec":
                whole = evaluation(.7, 7331)
                whole["models"]["calibrated"] = metrics(.71)
                whole["difference"]["calibrated - encoder"] = metrics(.003)
                whole["calibration"] = {"rows": 3011, "users": 240, "share": .4, "encoder_weight": .5123, "tried": []}
                write(folder / row / "evaluation.json", whole)
            write(folder / row / "run.txt", f"commit: abc{number}\ncommand: launch/tables.sh {row}\nseconds: 120\n")
        write(folder / "tallrec" / "against-thinkrec.json", {"rows": 1500, "difference": {"x": metrics(-.02), "x:item_mean": metrics(.5)}})
        write(folder / "experts-1" / "against-thinkrec.json", {"rows": 1500, "difference": {"x": metrics(-.03)}})
        write(folder / "encoders" / "mf.json", {"seeds": 5, "rows": 7331, "test": metrics(.75)})
        write(folder / "data.json", {"name": "yelp", "train": 1234, "valid": 5, "test": 6, "users": 7, "items": 8, "sigma_over_mu": 1.25})
        for seed in (1, 2, 3):
            for arm in ("without-experts", "without-both"):
                write(folder / "thinking" / f"{arm}-{seed}.json", {"rows": 600, "models": {"global": metrics(.6)}})
            write(folder / "thinking" / f"difference-{seed}.json", {"rows": 600, "difference": {"x": metrics(.01 * seed), "x:item_mean": metrics(.5)}})
        write(folder / "thinking" / "run.txt", "commit: abc9\ncommand: launch/tables.sh thinking\nseconds: 60\n")
        write(folder / "notes.md", "A note.\n")
        assert run("--check", folder).returncode != 0
        result = run(folder)
        assert result.returncode == 0, result.stderr
        text = page.read_text(encoding="utf-8")
        for part in ("| **ThinkRec**, calibrated | 7,331 | .7100 [.700, .720] |", "| **ThinkRec**, calibrated − its encoder | 7,331 | +0.0030",
                     "adds 0.512 times the encoder's logit", "(.4) that scored best on 3,011 valid rows of 240 users",
                     "| MF, mean of 5 seeds | 7,331 | .7500 [.740, .760] | .7600 [.750, .770] | .7700 [.760, .780] | .7800 [.770, .790] | .5838, .5389, .8120, .2552 |", "A note.",
                     "| 2 | difference, paired | 600 | +0.0200 [+0.010, +0.030] |", "| mean | difference, over seeds |  | +0.0200 [-0.005, +0.045] |", "# Results on Yelp", "| yelp | 1,234 | 5 | 6 | 7 | 8 | 1.25 |",
                     "| **ThinkRec** | 7,331 | .7030 [.693, .713] |", "| TALLRec − ThinkRec | 1,500 | -0.0200 [-0.030, -0.010] |",
                     "| experts-1 − ThinkRec | 1,500 | -0.0300 [-0.040, -0.020] |",
                     "| experts-1 − item mean | 7,329 | +0.0010 [-0.009, +0.011] |",
                     "![results/experts.svg](results/experts.svg)", "| `launch/tables.sh tallrec` | `abc1` | 2 |",
                     "| group-mf-ward | 7,327 | .7430 [.733, .753] |"):
            assert part in text, (part, text)
        assert re.search(r"\| CoLLM \| \*not yet run\*", text)
        assert len(re.findall("<circle", (folder / "groupings.svg").read_text())) == 8
        assert run("--check", folder).returncode == 0
    print("results: passed")


if __name__ == "__main__":
    main()
