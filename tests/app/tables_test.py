#!/usr/bin/env python3
"""launch/tables.sh from raw files as Yelp and Amazon give them out to pages of results, on a tiny model; and again, when all is there."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from tiny_world import write_book, write_model, write_yelp

PROGRAMS, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
SETTINGS = ["run.micro_tokens=600", "encoder.max_epochs=2", "encoder.width=8", "features.folds=2", "prompt.history=3", "prompt.max_tokens=900",
            "activate.phases.0.steps=3", "activate.phases.0.batch=4", "activate.phases.0.validate_every=0", "valid.rows=20", "expert.layers=2",
            "expert.steps=2", "expert.batch=4", "expert.validate_every=0", "evaluate.rows=40", "evaluate.bootstrap=20", "mix.reason_share=0"]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_model(folder / "model")
        write_yelp(folder / "data" / "yelp")
        write_book(folder / "data" / "book")
        results = folder / "results"
        environment = {**os.environ, "THINKREC_PROGRAMS": PROGRAMS, "THINKREC_DATA": str(folder / "data"), "THINKREC_REASONS": "0"}

        def tables(*rows, code=0, dataset="yelp", **changes):
            command = [str(SOURCE / "launch" / "tables.sh"), "--dataset", dataset, "--threads", "1", "--model", str(folder / "model"),
                       "--results", str(results if dataset == "yelp" else folder / dataset)]
            for setting in SETTINGS:
                command += ["--set", setting]
            done = subprocess.run(command + list(rows), capture_output=True, text=True, env={**environment, **changes})
            assert done.returncode == code, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
            return done

        tables("encoders", "tallrec", "without-both", "apart")
        left = {path.name for path in (results / "without-both").iterdir()}
        assert left == {"adapter.safetensors", "scores.csv.gz", "metrics.jsonl.gz", "recipe.yaml", "run.txt", "evaluation.json",
                        "against-thinkrec.json"}, left
        page = (folder / "results.md").read_text()
        assert page.startswith("# Results on Yelp") and "| **ThinkRec** | " in page and "| without both − ThinkRec | " in page, page
        assert "| TALLRec − ThinkRec | " in page and "| one by one − together, paired | " in page, page
        assert page.count("mean of 5 seeds") == 5 and "| TALLRec | " in page and "| CoLLM | *not yet run*" in page, page
        stamps = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
        again = tables("encoders", "tallrec", "without-both", "apart")
        assert "tallrec is there" in again.stdout and "trains" not in again.stdout, again.stdout
        assert stamps == {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
        tables("tallrec", dataset="book")
        book = (folder / "book.md").read_text()
        assert book.startswith("# Results on Amazon-Book") and "| TALLRec | " in book and "| book | " in book, book
        assert "no row 'nothing'" in tables("nothing", code=64).stderr
        (results / "data.json").unlink()
        assert "nowhere" in tables("encoders", code=66, THINKREC_DATA=str(folder / "nowhere")).stderr
    print("tables: passed")


if __name__ == "__main__":
    main()
