#!/usr/bin/env python3
"""thinkrec_eval --text: reasons of several runs beside each other, the same numbers as --text-pairs gives, and
what is refused. And --bleurt on a checkpoint that is made up here."""
import json
import os
import random
import sys
import tempfile

from tiny_world import World, write_safetensors

WIDTH, VOCABULARY = 8, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "yes", "no"] + [p + chr(c) for p in ("", "##") for c in range(97, 123)]


def write_bleurt(folder):
    os.makedirs(folder)
    rng = random.Random(5)
    tensors = {}

    def tensor(name, *shape):
        count = 1
        for n in shape:
            count *= n
        tensors[name] = (list(shape), [rng.gauss(0, 0.5) for _ in range(count)])

    def linear(name, out, width):
        tensor(name + ".weight", out, width)
        tensor(name + ".bias", out)

    def norm(name):
        tensor(name + ".weight", WIDTH)
        tensor(name + ".bias", WIDTH)

    for name, rows in (("word", len(VOCABULARY)), ("position", 64), ("token_type", 2)):
        tensor(f"bert.embeddings.{name}_embeddings.weight", rows, WIDTH)
    norm("bert.embeddings.LayerNorm")
    layer = "bert.encoder.layer.0."
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        linear(f"{layer}attention.{name}", WIDTH, WIDTH)
    norm(layer + "attention.output.LayerNorm")
    linear(layer + "intermediate.dense", 11, WIDTH)
    linear(layer + "output.dense", WIDTH, 11)
    norm(layer + "output.LayerNorm")
    linear("bert.pooler.dense", WIDTH, WIDTH)
    linear("classifier", 1, WIDTH)
    write_safetensors(f"{folder}/model.safetensors", tensors)
    with open(f"{folder}/config.json", "w") as out:
        json.dump({"model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2,
                   "intermediate_size": 11, "max_position_embeddings": 64, "type_vocab_size": 2}, out)
    with open(f"{folder}/vocab.txt", "w") as out:
        out.writelines(token + "\n" for token in VOCABULARY)


def main():
    programs, source = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        world = World(programs, source, folder)
        recipe = world.recipe(steps=3, expert_steps=2)
        world.train(recipe, f"{folder}/a")
        world.train(recipe, f"{folder}/b", "--set", "run.seed=6")
        write_bleurt(f"{folder}/bleurt")
        refs, runs = f"{folder}/refs.jsonl", f"ThinkRec={folder}/a,Global={folder}/a:global,Untrained={folder}/a:untrained,Other={folder}/b:fused"

        def text(*arguments, code=0, **more):
            return world.run("thinkrec_eval", "--text", *arguments, code=code, **more)

        more = ("--references", refs, "--max-new-tokens", "14", "--bleurt", f"{folder}/bleurt")
        # The tiny model states no verdict, so that all its rows fail: they are named, with the model, and written about by hand.
        written = f"{folder}/written.jsonl"
        world.run("thinkrec_synthesize", "references", "--data", f"{folder}/data.h5", "--model", f"{folder}/model", "--rows", "1", "--turns", "1",
                  "--history", "3", "--max-new-tokens", "8", "--output", written)
        failed = [json.loads(line) for line in open(written + ".failed.jsonl")]
        checkpoint = os.path.join(folder, "a", "checkpoints", "expert-0")
        with open(os.path.join(checkpoint, sorted(os.listdir(checkpoint))[-1], "MANIFEST.json")) as manifest:
            own = json.dumps({"model": json.load(manifest)["manifest"]["identity"]["model"][:16], "turns": 1})
        lines = [{"row": one["number"], "reference": f"Yes. It is like what {one['who']} liked before.", "source": own} for one in failed]
        lines[0]["source"] = "an editor"
        with open(refs, "w") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)
        done = text("--runs", runs, *more, "--json", f"{folder}/first.json")
        result = json.load(open(f"{folder}/first.json"))
        assert 3 <= len(lines) <= 12 and len({line["row"] for line in lines}) == len(lines), lines
        assert f"{len(lines) - 1} by self-reference (the base model)" in done.stdout and "BLEURT [95 %]" in done.stdout, done.stdout
        assert "Other - ThinkRec: METEOR" in done.stdout, done.stdout
        control = "ThinkRec, of another row"
        methods = ["ThinkRec", "Global", "Untrained", "Other", control]
        assert result["rows"] == len(lines) and list(result["methods"]) == methods and "left_out" not in result
        assert result["references"] == {"self-reference (the base model)": len(lines) - 1, "an editor": 1}, result["references"]
        assert [row["row"] for row in result["texts"]] == [line["row"] for line in lines]
        for row, line in zip(result["texts"], lines):
            assert row["reference"] == line["reference"] and row["label"] in ("Yes", "No"), row
            assert all(row["candidates"][name][:1] in ("Y", "N") for name in methods), row
        said = {name: [row["candidates"][name] for row in result["texts"]] for name in methods}
        assert sorted(set(said[control])) <= sorted(set(said["ThinkRec"])) and (len(set(said["ThinkRec"])) == 1 or said[control] != said["ThinkRec"]), said
        for own, other in zip(result["texts"], said[control]):  # another user's, with the same verdict where there is one
            same = [row for row in result["texts"] if row["user"] != own["user"] and row["candidates"]["ThinkRec"][0] == own["candidates"]["ThinkRec"][0]]
            assert not same or other in [row["candidates"]["ThinkRec"] for row in same], (own, other)
        for name in methods:
            right = sum(text[0] == row["label"][0] for text, row in zip(said[name], result["texts"])) / len(lines)
            assert abs(result["methods"][name]["verdicts"] - right) < 1e-9, (name, right)
        assert said["ThinkRec"] != said["Other"] and said["Global"] != said["Untrained"], said

        # The references as they lie there give the same again; without BLEURT the rest of it.
        text("--runs", runs, *more, "--json", f"{folder}/second.json")
        assert result == json.load(open(f"{folder}/second.json"))
        done = text("--runs", runs.split(",")[0], *more[:4], "--json", f"{folder}/third.json")
        third = json.load(open(f"{folder}/third.json"))
        assert third["left_out"] == ["bleurt"] and "bleurt" not in third["methods"]["ThinkRec"] and "BLEURT is left out" in done.stdout
        assert third["methods"]["ThinkRec"]["meteor_ci"] == result["methods"]["ThinkRec"]["meteor_ci"] and list(third["difference"]) == [f"{control} - ThinkRec"]

        # --text-pairs on the same texts.
        with open(f"{folder}/pairs.jsonl", "w") as out:
            for row in result["texts"]:
                out.write(json.dumps({"reference": row["reference"], "candidate": row["candidates"]["Other"]}) + "\n")
        world.run("thinkrec_eval", "--text-pairs", f"{folder}/pairs.jsonl", "--bleurt", f"{folder}/bleurt", "--json", f"{folder}/pairs.json")
        mean = json.load(open(f"{folder}/pairs.json"))["mean"]
        for name, value in mean.items():
            assert abs(value - result["methods"]["Other"][name]) < 1e-9, (name, value)
            low, high = result["methods"]["Other"][name + "_ci"]
            assert low <= value <= high, (name, low, value, high)
        done = world.run("thinkrec_eval", "--text-pairs", f"{folder}/pairs.jsonl")
        assert "BLEURT   left out" in done.stdout, done.stdout

        def refused(part, code, *arguments, ranks=0):
            done = world.run("thinkrec_eval", *arguments, code=code, ranks=ranks)
            assert part in done.stderr, done.stderr

        base = ("--text", "--runs", runs, "--references", refs)
        refused("'experts' is none of untrained, global and fused", 64, "--text", "--runs", f"A={folder}/a:experts", "--references", refs)
        refused("is not NAME=RUNDIR", 64, "--text", "--runs", f"{folder}/a", "--references", refs)
        refused("the name 'A' is there twice", 64, "--text", "--runs", f"A={folder}/a,A={folder}/b", "--references", refs)
        refused("--run-dir does not go with --text", 64, *base, "--run-dir", f"{folder}/a")
        refused("--runs goes with --text only", 64, "--run-dir", f"{folder}/a", "--runs", runs)
        refused("--bleurt goes with --text-pairs and --text only", 64, "--run-dir", f"{folder}/a", "--bleurt", f"{folder}/bleurt")
        refused("do not go together", 64, *base, "--text-pairs", f"{folder}/pairs.jsonl")
        refused("--text runs on one rank", 64, *base, ranks=2)
        refused("no reference there; thinkrec_synthesize references", 66, "--text", "--runs", runs, "--references", f"{folder}/nowhere")
        train_row = 0  # the first of a user
        for content, part in (('{"row": %d, "reference": "Yes. It is.", "source": "x"}\n' % train_row, f":1: row {train_row} is not of the split 'test'"),
                              (json.dumps(lines[0]) + "\n" + json.dumps(lines[0]) + "\n", f":2: row {lines[0]['row']} is there twice"),
                              (json.dumps({**lines[0], "reference": ""}) + "\n", "is empty")):
            with open(f"{folder}/bad.jsonl", "w") as out:
                out.write(content)
            refused(part, 65, "--text", "--runs", f"A={folder}/a", "--references", f"{folder}/bad.jsonl")
        with open(f"{folder}/raw/interactions.csv", "a") as out:
            out.write("u1,i1,5,999999\n")
        world.run("thinkrec_prepare", "--format", "ratings", "--input", f"{folder}/raw", "--output", f"{folder}/other.h5")
        world.train(recipe, f"{folder}/c", "--set", f"data.path={folder}/other.h5")
        refused("its data set is another one", 78, "--text", "--runs", f"A={folder}/a,C={folder}/c", "--references", refs)
    print("text: passed")


if __name__ == "__main__":
    main()
