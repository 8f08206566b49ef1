#!/usr/bin/env python3
"""Every recipe of configs/recipes runs from end to end on a tiny world; a run takes another's global adapter, or says why not; and what
is asked of an evaluation and an export is what comes."""
import csv
import glob
import json
import os
import re
import sys
import tempfile

from tiny_world import World, metrics

SMALL = {"run.threads": 1, "run.micro_tokens": 600, "encoder.width": 8, "encoder.blocks": 1, "encoder.max_length": 8,
         "encoder.batch": 256, "encoder.max_epochs": 2, "prompt.history": 3, "lora.rank": 4, "lora.alpha": 8, "valid.rows": 12,
         "expert.layers": 2, "evaluate.rows": 40, "evaluate.bootstrap": 20, "mix.train_rows": 60}


def chain(recipe):
    """The texts of a recipe and of its bases."""
    text = open(recipe).read()
    base = re.search(r"^base: (.*)$", text, re.M)
    return [text] + (chain(os.path.join(os.path.dirname(recipe), base.group(1))) if base else [])


def settings(world, recipe, **more):
    """--set arguments that make a recipe small."""
    texts = chain(recipe)
    phases = next(text for text in texts if "phases:" in text).count("- name:")
    values = {"data.path": f"{world.folder}/data.h5", "model.path": f"{world.folder}/model", **SMALL}
    sections = [f"activate.phases.{phase}" for phase in range(phases)]
    if not any("expert:\n  steps: 0" in text for text in texts):
        sections.append("expert")
    for section in sections:
        values.update({f"{section}.steps": 3, f"{section}.batch": 4, f"{section}.warmup": 1, f"{section}.validate_every": 0})
    values.update({key.replace("__", "."): value for key, value in more.items()})
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def main():
    programs, source = sys.argv[1], sys.argv[2]
    recipes = sorted(glob.glob(f"{source}/configs/recipes/*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        world = World(programs, source, folder)
        trained = {}
        for recipe in recipes:
            name = os.path.basename(recipe)[:-5]
            if name.startswith(("experts-", "group-")):
                continue
            trained[name] = f"{folder}/{name}"
            world.run("thinkrec_train", "--config", recipe, "--run-dir", trained[name], *settings(world, recipe))
            models = json.load(open(f"{trained[name]}/evaluation.json"))["models"]
            assert {"item_mean", "logistic", "encoder", "untrained", "global", "fused"} <= set(models), (name, list(models))

        # What each recipe's last prompt says of its history, and which slots it has.
        for name, said, slots in (("thinkrec", "given ratings to", True), ("collm", "given high ratings to", True), ("tallrec", "given high ratings to", False),
                                  ("prompt4nr-hard", "gave high ratings to", False), ("prompt4nr-hybrid", "gave high ratings to", True)):
            shown = world.run("thinkrec_inspect", "--prompts", "3", "--config", f"{trained[name]}/recipe.yaml").stdout
            rows = [block for block in shown.split("row ")[1:] if "recommendation" in block]
            words = ["".join(re.findall(r'^ +\d+ +\S+  "(.*?)" ', block, re.M)) for block in rows]
            assert rows and all(said in text for text in words), (name, words[:1])
            assert all(("<slot>" in block) == slots for block in rows), (name, rows[0])
            if name == "collm":  # the user and the item in question alone
                assert all(block.count("<slot>") == 2 for block in rows), rows[0]
        losses = {name: open(f"{trained[name]}/recipe.yaml").read() for name in ("thinkrec", "collm", "tallrec", "prompt4nr-soft")}
        for name, text in losses.items():
            assert bool(re.search(r"^  gamma: 0(\.0)?$", text, re.M)) == (name != "thinkrec"), name
        assert re.search(r'train: "?lora\+soft', losses["prompt4nr-soft"]), losses["prompt4nr-soft"]

        # With and without reasons side by side, and the counting baselines.
        beside = f"{folder}/beside.json"
        files = ",".join(f"{trained[name]}/scores.csv:fused" for name in ("thinkrec", "without-thinking"))
        compared = world.run("thinkrec_eval", "--compare", files, "--json", beside).stdout
        assert all(words in compared for words in ("thinkrec", "without-thinking", "item_mean", "logistic")), compared
        assert json.load(open(beside))["difference"], compared

        # Experts over the global adapter of another run.
        for recipe in recipes:
            name = os.path.basename(recipe)[:-5]
            if not name.startswith(("experts-", "group-")):
                continue
            run = f"{folder}/{name}"
            world.run("thinkrec_train", "--config", recipe, "--run-dir", run,
                      *settings(world, recipe, activate__from=trained["thinkrec"], evaluate__models="fused"))
            assert not metrics(run, "activate/lora") and metrics(run, "expert/0"), name
            evaluation = json.load(open(f"{run}/evaluation.json"))
            assert set(evaluation["models"]) == {"item_mean", "logistic", "encoder", "fused"}, list(evaluation["models"])
            assert set(evaluation["difference"]) == {"fused - item_mean", "fused - logistic", "fused - encoder"}
            if name.startswith("group-"):
                assert evaluation["cohens_d"]["features"] > 0, evaluation["cohens_d"]
        other = world.run("thinkrec_train", "--config", f"{source}/configs/recipes/experts-3.yaml", "--run-dir", f"{folder}/other",
                          *settings(world, f"{source}/configs/recipes/experts-3.yaml", activate__from=trained["thinkrec"], lora__dropout=0.2), code=78)
        assert "lora.dropout 0.05, this recipe says 0.2" in other.stderr, other.stderr

        # Statistics in the slots: as many held-out scores as train rows, and a run that resumes reads them back.
        stats = f"{folder}/stats"
        recipe = f"{source}/configs/recipes/thinkrec.yaml"
        arguments = settings(world, recipe, features__statistics="true", features__folds=2, encoder__kind="lightgcn", evaluate__calibration_rows=60)
        world.run("thinkrec_train", "--config", recipe, "--run-dir", stats, *arguments)
        assert metrics(stats, "encode/fold-1")
        timings = lambda: json.load(open(f"{stats}/timings.json"))
        took = timings()
        assert took["evaluate"] > 0 and json.load(open(f"{stats}/evaluation.json"))["timings"] == took, took
        json.dump({**took, "evaluate": 1e6}, open(f"{stats}/timings.json", "w"))
        world.run("thinkrec_train", "--config", recipe, "--run-dir", stats, *arguments)
        again = timings()
        assert json.load(open(f"{stats}/evaluation.json"))["timings"] == again and 0 < again["evaluate"] < 1e6, again
        assert {**again, "evaluate": 0} == {**took, "evaluate": 0}, "a stage that is found finished takes no time"
        assert "<span>evaluate</span>" in open(f"{stats}/report.html").read(), "the report's time by stage leaves the evaluation out"
        done = world.run("thinkrec_recommend", "--run-dir", stats, "--user", "u1", "--top", "2")
        assert "1. Film" in done.stdout, done.stdout

        # The share of the encoder's logit, chosen on valid rows of other users than adapters were chosen by; who recommends adds it, too.
        evaluation = json.load(open(f"{stats}/evaluation.json"))
        chosen = evaluation["calibration"]
        assert chosen["rows"] >= 60 and [round(one["share"], 1) for one in chosen["tried"]] == [tenth / 10 for tenth in range(10)], chosen
        best = max(chosen["tried"], key=lambda one: (one["auc"] or .5) / 4 + (one["uauc"] or .5) / 3)
        assert chosen["share"] == best["share"] and (chosen["encoder_weight"] > 0) == (best["share"] > 0), chosen
        rows = list(csv.DictReader(open(f"{stats}/scores.csv")))
        for row in rows:
            wanted = float(row["fused"]) + chosen["encoder_weight"] * float(row["encoder"])
            assert abs(wanted - float(row["calibrated"])) < 1e-6 * max(1, abs(wanted)), row
        assert {"calibrated - fused", "calibrated - item_mean"} <= set(evaluation["difference"])
        ranked = lambda: json.loads(world.run("thinkrec_recommend", "--run-dir", stats, "--users", f"{folder}/one.jsonl").stdout)["items"]
        open(f"{folder}/one.jsonl", "w").write('{"user": "u1", "top": 3}\n')
        stored = json.load(open(f"{stats}/calibration.json"))
        scores = {}
        for weight in (0, 1, 2):
            json.dump({**stored, "encoder_weight": weight}, open(f"{stats}/calibration.json", "w"))
            open(f"{folder}/one.jsonl", "w").write('{"user": "u1", "candidates": ["i1", "i2"], "top": 2}\n')
            scores[weight] = {item["id"]: item["score"] for item in ranked()}
        for item in ("i1", "i2"):
            assert abs(scores[2][item] - 2 * scores[1][item] + scores[0][item]) < 1e-4 and scores[1][item] != scores[0][item], scores
        json.dump({**stored, "encoder_weight": "much"}, open(f"{stats}/calibration.json", "w"))
        bad = world.run("thinkrec_recommend", "--run-dir", stats, "--user", "u1", code=65)
        assert "calibration.json: 'encoder_weight' is not a number from 0" in bad.stderr, bad.stderr
        json.dump(stored, open(f"{stats}/calibration.json", "w"))
        many = world.run("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/many",
                         *settings(world, recipe, features__statistics="true", features__folds=100, mix__train_rows=0),
                         "--stages", "encode", code=0)
        assert "fold-99" in many.stderr

        # What cannot be.
        for change, words in (({"activate__phases__1__train": "soft"}, "has none"), ({"activate__phases__0__train": "projector"}, "has no features")):
            failed = world.run("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/bad{words[-4:]}",
                               *settings(world, recipe, **change), code=78)
            assert words in failed.stderr, failed.stderr

        # Exports.
        for adapter in ("global", "expert:1", "user:u1"):
            world.run("thinkrec_export", "--run-dir", trained["thinkrec"], "--adapter", adapter, "--output", f"{folder}/peft-{adapter[:4]}")
        assert json.load(open(f"{folder}/peft-glob/adapter_config.json"))["r"] == 4
        for adapter, code, words in (("expert:2", 64, "experts 0 to 1"), ("user:nobody", 65, "nobody"), ("all", 64, "global, expert:K, user:U or none")):
            failed = world.run("thinkrec_export", "--run-dir", trained["thinkrec"], "--adapter", adapter, "--output", f"{folder}/x", code=code)
            assert words in failed.stderr, failed.stderr
    print("recipes: passed")


if __name__ == "__main__":
    main()
