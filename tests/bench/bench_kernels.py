#!/usr/bin/env python3
"""bench_ops' table with one more column: the same formulas under torch.compile, in the same run, where this Python has a torch that compiles.

  bench_kernels.py [--device cuda] [--rounds 9] BENCH_OPS...      BENCH_OPS is the program, perhaps with what starts it before it
Exit code 77 where bench_ops skips for want of a GPU.
"""
import argparse
import statistics
import subprocess
import sys
import time

TOKENS, RANK, ROWS = 4096, 8, 10
SHAPES = {"cpu": dict(width=576, q=576, v=192, heads=9, head=64, ffn=1536, vocab=49152),
          "cuda": dict(width=4096, q=4096, v=1024, heads=32, head=128, ffn=14336, vocab=128256)}


def formulas(torch, device):
    """{name in bench_ops' table: (function, inputs that want a gradient, gradients of the outputs or None)}"""
    s = SHAPES[device]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(1)

    def leaf(*shape, scale=1.0, kind=None):
        return (torch.randn(*shape) * scale).to(device, kind or dtype).requires_grad_(True)

    def branch(x, a, b):
        drop = torch.nn.functional.dropout(x.float(), 0.05, True)
        return (2 * torch.nn.functional.linear(torch.nn.functional.linear(drop, a), b)).to(x.dtype)

    x, q, v = leaf(TOKENS, s["width"]), torch.randn(TOKENS, s["q"]).to(device, dtype), torch.randn(TOKENS, s["v"]).to(device, dtype)
    a_q, a_v = leaf(RANK, s["width"], scale=.05, kind=torch.float32), leaf(RANK, s["width"], scale=.05, kind=torch.float32)
    b_q, b_v = leaf(s["q"], RANK, scale=.05, kind=torch.float32), leaf(s["v"], RANK, scale=.05, kind=torch.float32)
    out = {"lora_qv, dropout .05": (lambda x, a_q, b_q, a_v, b_v: (q + branch(x, a_q, b_q), v + branch(x, a_v, b_v)), [x, a_q, b_q, a_v, b_v])}

    wide, down = leaf(TOKENS, s["ffn"]), (torch.randn(s["width"], s["ffn"]) * .05).to(device, dtype)
    out["linear, down projection"] = (lambda wide: (torch.nn.functional.linear(wide, down),), [wide])

    head = (torch.randn(s["vocab"], s["width"]) * .05).to(device, dtype)
    hidden, target = leaf(TOKENS, s["width"]), torch.randint(s["vocab"], (TOKENS,), device=device)
    out["linear_cross_entropy, every token"] = (
        lambda h: (torch.nn.functional.cross_entropy(torch.nn.functional.linear(h, head).float(), target, reduction="sum"),), [hidden])

    y, residual, weight = leaf(TOKENS, s["width"]), leaf(TOKENS, s["width"]), torch.rand(s["width"]).to(device, dtype)

    def norm(y, residual):
        total = y + residual
        wide = total.float()
        return total, weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, True) + 1e-5)).to(dtype)
    out["rms_norm with residual"] = (norm, [y, residual])

    z = leaf(TOKENS, s["heads"], s["head"])
    angle = torch.arange(TOKENS)[:, None] * torch.pow(1e5, -torch.arange(0, s["head"], 2) / s["head"])[None]
    cos, sin = (torch.cat([f(angle)] * 2, 1)[:, None].to(device, dtype) for f in (torch.cos, torch.sin))

    def rope(z):
        a, b = z.chunk(2, -1)
        return (z * cos + torch.cat([-b, a], -1) * sin,)
    out["rope"] = (rope, [z])

    gate, up = leaf(TOKENS, s["ffn"]), leaf(TOKENS, s["ffn"])
    out["swiglu"] = (lambda gate, up: (torch.nn.functional.silu(gate) * up,), [gate, up])
    return out


def compiled_times(device, rounds):
    """{name: median milliseconds, forward and backward}; a note instead where it does not work."""
    try:
        import torch
    except Exception as error:  # whatever keeps torch from loading
        return {}, f"no torch.compile: {error}"
    times = {}
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    for name, (function, inputs) in formulas(torch, device).items():
        try:
            compiled = torch.compile(function)
            grads = [torch.randn_like(o) for o in compiled(*inputs)]

            def run():
                torch.autograd.grad(compiled(*inputs), inputs, grads)
            for _ in range(3):
                run()
            taken = []
            for _ in range(rounds):
                wait()
                start = time.perf_counter()
                run()
                wait()
                taken.append(1e3 * (time.perf_counter() - start))
            times[name] = statistics.median(taken)
        except Exception as error:  # a compiler that is missing, memory
            return times, f"torch.compile of {name}: {str(error).splitlines()[0]}"
    return times, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("bench_ops", nargs="+")
    args = parser.parse_args()
    done = subprocess.run([*args.bench_ops, str(args.rounds), args.device], capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.stdout.write(done.stdout)
        return done.returncode
    times, note = compiled_times(args.device, args.rounds)
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| op,"):
            line += " torch.compile, ms | ours faster |"
        elif line.startswith("|---"):
            line += "---|---|"
        elif line.startswith("|"):
            compiled = times.get(cells[0])
            line += f" {compiled:.3f} | {compiled / float(cells[1]):.2f}x |" if compiled else " | |"
        print(line)
    if note:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
