"""Losses and LoRA gradients of one step against transformers + PEFT on random small models.

  python3 lora_oracle.py DEPS GRADIENT_TOOL
"""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, TOOL = sys.argv[1], sys.argv[2]
oracle.enter(DEPS)

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()
YES = 5
failures = []


def check(name, difference, bound):
    print(f"{name}: {difference:.2e} (bound {bound:g})", flush=True)
    if not difference <= bound:
        failures.append(name)


def random_rows(generator, vocab, kinds):
    rows = []
    for k, reason in enumerate(kinds):
        prompt = int(torch.randint(1, 40, (1,), generator=generator))
        answer = int(torch.randint(2, 25, (1,), generator=generator)) if reason else 1
        ids = torch.randint(vocab, (prompt + answer,), generator=generator).tolist()
        rows.append(dict(ids=ids, prompt_len=prompt, label=k % 2, reason=reason))
    return rows


def their_step(model, rows):
    """The step of a user of PEFT: right-padded rows, logits at all positions, loss = mean over rows of the mixed loss (paper, Eq. 7)."""
    longest = max(len(row["ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, target = torch.zeros_like(ids), torch.full_like(ids, -100)
    for k, row in enumerate(rows):
        n, x = len(row["ids"]), torch.tensor(row["ids"])
        ids[k, :n], mask[k, :n], target[k, row["prompt_len"]:n] = x, 1, x[row["prompt_len"]:]
    logits = model(input_ids=ids, attention_mask=mask).logits
    flat = logits[:, :-1].reshape(-1, logits.size(-1))
    ce = F.cross_entropy(flat, target[:, 1:].reshape(-1), ignore_index=-100, reduction="none")
    ce = ce.view(len(rows), -1).sum(1) / (target != -100).sum(1)
    place = torch.tensor([row["prompt_len"] - 1 for row in rows])
    label = torch.tensor([float(row["label"]) for row in rows])
    bce = F.binary_cross_entropy_with_logits(logits[torch.arange(len(rows)), place, YES], label, reduction="none")
    reason = torch.tensor([row["reason"] for row in rows])
    parts = (torch.where(reason, .1, .9) * bce).mean(), (torch.where(reason, .9, .1) * ce).mean()
    sum(parts).backward()
    return [sum(parts).item(), *(part.item() for part in parts)]


def compare(number, group, rank, alpha, rslora, first_layer, kinds):
    generator = torch.Generator().manual_seed(number)
    kv_heads = 2
    config = transformers.LlamaConfig(
        vocab_size=150, hidden_size=group * kv_heads * 10, intermediate_size=100, num_hidden_layers=3,
        num_attention_heads=group * kv_heads,
        num_key_value_heads=kv_heads, head_dim=8, max_position_embeddings=128, tie_word_embeddings=number % 2 == 0)
    base = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in base.parameters():
            matrix = parameter.dim() > 1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.2 if matrix else 0.1) + (0 if matrix else 1))
    rows = random_rows(generator, config.vocab_size, kinds)
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(f"{folder}/model")
        model = peft.get_peft_model(base, peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0,
                                                          target_modules=["q_proj", "v_proj"], use_rslora=rslora, task_type="CAUSAL_LM"))
        with torch.no_grad():  # PEFT starts with B = 0, where A has no gradient
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        model.save_pretrained(f"{folder}/adapter")
        pathlib.Path(f"{folder}/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [TOOL, f"{folder}/model", f"{folder}/adapter", f"{folder}/rows.jsonl", f"{folder}/out.safetensors", str(first_layer)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        ours = load_file(f"{folder}/out.safetensors")
    losses = torch.tensor(their_step(model, rows))
    name = (f"step {number}: {group} query heads a key head, rank {rank}{' (rslora)' if rslora else ''}, "
            f"layers from {first_layer}, {len(rows)} rows")
    relative = (ours.pop("losses") - losses).abs() / losses.abs().clamp(min=1e-3)
    check(f"{name}, losses {losses.tolist()}", relative.max().item(), 1e-5)
    differences = []
    for key, parameter in model.named_parameters():
        if "lora_" not in key:
            continue
        short = key.removeprefix("base_model.model.model.").removesuffix(".default.weight")
        if int(short.split(".")[1]) < first_layer:
            assert short not in ours, short
            continue
        gradient = ours.pop(short)
        differences.append((gradient - parameter.grad).abs().max() / parameter.grad.abs().max())
    assert not ours, list(ours)
    check(f"{name}, gradients", torch.stack(differences).max().item(), 1e-4)  # NaN where there is one


both = [False, True, True, False, True]
compare(0, group=1, rank=8, alpha=16, rslora=False, first_layer=0, kinds=both)
compare(1, group=3, rank=4, alpha=4, rslora=False, first_layer=0, kinds=both)
compare(2, group=4, rank=1, alpha=16, rslora=False, first_layer=0, kinds=both)
compare(3, group=2, rank=8, alpha=3, rslora=True, first_layer=0, kinds=both)
compare(4, group=3, rank=16, alpha=16, rslora=False, first_layer=2, kinds=both)
compare(5, group=1, rank=8, alpha=16, rslora=False, first_layer=0, kinds=[False])
compare(6, group=1, rank=8, alpha=16, rslora=False, first_layer=1, kinds=[True])
if failures:
    sys.exit("failed: " + "; ".join(failures))
