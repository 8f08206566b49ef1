#!/usr/bin/env python3
"""lora.start: training begins with the adapter of a PEFT folder, keeps it, and says why not.

  start_test.py PROGRAMS SOURCE
"""
import json
import os
import shutil
import sys
import tempfile

from tiny_world import World, metrics

ALONE = ("--set", "activate.phases.0.template=text", "--set", "activate.phases.0.train=lora", "--set", "lora.dropout=0")


def first_loss(run):
    return metrics(run, "activate/main")[1]["loss"]


def main():
    programs, source = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        world = World(programs, source, folder)
        recipe = world.recipe()
        long, start = f"{folder}/long", f"{folder}/adapter"
        world.train(recipe, long, *ALONE, "--stages", "encode,activate,group,expert")
        world.run("thinkrec_export", "--run-dir", long, "--adapter", "global", "--output", start)
        fresh = first_loss(long)

        # From the merged model, with a fresh adapter, the first loss is the same.
        merged = f"{folder}/merged"
        world.run("thinkrec_export", "--run-dir", long, "--adapter", "global", "--merge", "--dtype", "fp32", "--output", merged)
        world.train(recipe, f"{folder}/plain", *ALONE, "--set", f"model.path={merged}", "--stages", "encode,activate")
        begin = ("--set", f"lora.start={start}", "--set", "lora.alpha=4")  # thinkrec_export writes lora_alpha = r
        run = f"{folder}/run"
        world.train(recipe, run, *ALONE, *begin)
        wanted = first_loss(f"{folder}/plain")
        assert abs(first_loss(run) - wanted) < 1e-5, (first_loss(run), wanted)
        assert abs(wanted - fresh) > 1e-3, (wanted, fresh)

        # The run has a copy of its own; a folder that changed is refused, one that is gone is not missed.
        shutil.move(start, f"{start}-away")
        world.run("thinkrec_eval", "--run-dir", run, "--split", "test")
        os.makedirs(start)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy(f"{start}-away/{name}", start)
        world.train(recipe, run, *ALONE, *begin)
        with open(f"{start}/adapter_config.json", "a") as out:
            out.write(" ")
        done = world.train(recipe, run, *ALONE, *begin, code=78)
        assert "is not the adapter that" in done.stderr, done.stderr

        # A phase that trains the projector alone keeps the adapter as it was; another run may take both from there.
        projector = ("--set", "activate.phases.0.train=projector", "--set", "lora.dropout=0", *begin)
        first, second = f"{folder}/first", f"{folder}/second"
        world.train(recipe, first, *projector, "--stages", "encode,activate")
        world.train(recipe, second, *projector, "--set", f"activate.from={first}", "--stages", "encode,activate,group,expert")
        world.run("thinkrec_export", "--run-dir", second, "--adapter", "global", "--output", f"{folder}/kept")
        a, b = (open(f"{place}/adapter_model.safetensors", "rb").read() for place in (f"{folder}/kept", start))
        assert a == b, "the adapter is not the one it began with"

        # What does not fit is named, by the training and by its dry run.
        for extra in ((), ("--dry-run",)):
            for change, part in ((("--set", "lora.rank=8"), "set lora.rank=4"), (("--set", "lora.alpha=16"), "set lora.alpha=4")):
                done = world.train(recipe, f"{folder}/x", *ALONE, *begin, *change, *extra, code=78)
                assert part in done.stderr, done.stderr
                shutil.rmtree(f"{folder}/x", ignore_errors=True)
            config = json.load(open(f"{start}/adapter_config.json"))
            other = f"{folder}/other"
            shutil.copytree(start, other)
            json.dump({**config, "target_modules": ["q_proj", "k_proj"]}, open(f"{other}/adapter_config.json", "w"))
            done = world.train(recipe, f"{folder}/x", *ALONE, "--set", f"lora.start={other}", *extra, code=65)
            assert "target_modules are [k_proj, q_proj]" in done.stderr, done.stderr
            shutil.rmtree(f"{folder}/x", ignore_errors=True)
            shutil.rmtree(other)
            done = world.train(recipe, f"{folder}/x", *ALONE, "--set", f"lora.start={folder}/none", *extra, code=66)
            assert "adapter_" in done.stderr, done.stderr
            shutil.rmtree(f"{folder}/x", ignore_errors=True)


main()
