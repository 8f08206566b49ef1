#!/usr/bin/env python3
"""Training that begins with an adapter made by peft: the losses of the first step are those of base + adapter as peft adds them up.

  python3 start_oracle.py DEPS PROGRAMS SOURCE
"""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, PROGRAMS, SOURCE = sys.argv[1:4]
oracle.enter(DEPS)

import peft
import torch
import transformers

from tiny_world import World, metrics

torch.set_num_threads(2)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
ALONE = ("--stages", "encode,activate", "--set", "activate.phases.0.template=text", "--set", "activate.phases.0.train=lora", "--set", "lora.dropout=0")


def first(run):
    row = metrics(run, "activate/main")[1]
    return {key: row[key] for key in ("loss", "bce", "ce")}


with tempfile.TemporaryDirectory() as folder:
    world = World(PROGRAMS, SOURCE, folder)
    recipe, base = world.recipe(), f"{folder}/model"
    world.train(recipe, f"{folder}/fresh", *ALONE)
    for stabilised in (False, True):
        torch.manual_seed(5)
        config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], init_lora_weights=False, use_rslora=stabilised)
        model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
        start, merged = f"{folder}/start-{stabilised}", f"{folder}/merged-{stabilised}"
        model.save_pretrained(start)
        model.merge_and_unload().save_pretrained(merged)
        shutil.copy(f"{base}/tokenizer.json", merged)
        alpha = 6 * (2 if stabilised else 1)  # alpha / sqrt(r) is (alpha sqrt(r)) / r
        world.train(recipe, f"{folder}/ours-{stabilised}", *ALONE, "--set", f"lora.start={start}", "--set", f"lora.alpha={alpha}")
        world.train(recipe, f"{folder}/theirs-{stabilised}", *ALONE, "--set", f"model.path={merged}")
        ours, theirs, fresh = (first(f"{folder}/{run}") for run in (f"ours-{stabilised}", f"theirs-{stabilised}", "fresh"))
        for key, value in theirs.items():
            print(f"rslora {stabilised}, {key}: {abs(ours[key] - value):.1e} (bound 1e-4), from the base {abs(fresh[key] - value):.1e}", flush=True)
            assert abs(ours[key] - value) <= 1e-4, (ours, theirs)
        assert abs(fresh["loss"] - theirs["loss"]) > 1e-3, (fresh, theirs)
