#!/usr/bin/env python3
"""The bytes and FLOPs that each kernel must move, its roofline time on an H100 at Llama-3-8B's shapes, and what fusion saves.
Prints the table of docs/kernels.md and draws docs/roofline.svg.   docs/roofline.py [--check]   --check: fails when either is stale
"""
import math
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parent
BANDWIDTH, FP32 = 3.35e12, 67e12  # H100 SXM: bytes/s of HBM3, FLOP/s of fp32 without tensor cores
T, D, Q, V, FFN, VOCAB, R, HEADS, KV, HEAD = 4096, 4096, 4096, 1024, 14336, 128256, 8, 32, 8, 128
ROWS, ANSWERS, SLOTS, H = 10, 369, 200, 2  # rows of a pack, answer tokens (9 %), feature slots; bytes of an activation (bf16)
PARAMETERS = 32 * R * (2 * D + Q + V)  # LoRA of all layers
SLABS = math.ceil(T / 256)

# name, bytes that must move, FLOPs, bytes of the same formula op by op (PyTorch eager)
KERNELS = [
    ("lora_qv forward", T * D * H + 2 * T * (Q + V) * H + R * (2 * D + Q + V) * 4 + 2 * T * R * 4, 2 * T * R * (2 * D + Q + V),
     # dropout of q and v (read, write, mask), A (read), B (write), scale and add (read, read, write)
     2 * (2 * H + 1) * T * D + 2 * T * D * H + T * (Q + V) * H + 3 * T * (Q + V) * H),
    ("lora_qv backward", 2 * T * (Q + V) * H + T * D * H + 2 * T * D * H + 2 * SLABS * R * (2 * D + Q + V) * 4, 4 * T * R * (2 * D + Q + V),
     # scaled copy of the gradients (2), B and grad B (2), A, grad A (read masked x, twice), masks on grad x (read, write, add)
     2 * T * (Q + V) * H + 2 * T * (Q + V) * H + 2 * T * D * H + 2 * (3 * H + 1) * T * D + 2 * T * D * H),
    ("rms_norm forward", 4 * T * D * H, 5 * T * D, (3 + 2 + 2 + 2 + 2) * T * D * H),
    ("rms_norm backward", 4 * T * D * H, 8 * T * D, 14 * T * D * H),
    ("rope (q and k)", 2 * T * (HEADS + KV) * HEAD * H, 3 * T * (HEADS + KV) * HEAD, 8 * T * (HEADS + KV) * HEAD * H),
    ("swiglu forward", 3 * T * FFN * H, 5 * T * FFN, 5 * T * FFN * H),
    ("swiglu backward", 5 * T * FFN * H, 10 * T * FFN, 11 * T * FFN * H),
    ("embed_splice", 2 * T * D * H, 0, 2 * T * D * H + 3 * SLOTS * D * H),
    ("yes_bce", 2 * ROWS * D * H + D * H, 4 * ROWS * D, VOCAB * D * H + 4 * ROWS * VOCAB * 4),  # eager: the head's every row
    ("cross_entropy", 3 * ANSWERS * VOCAB * H, 6 * ANSWERS * VOCAB, ANSWERS * VOCAB * (2 * 4 + 3 * 4 + 3 * 4 + H)),  # eager in fp32
    ("adamw and norm", PARAMETERS * 4 * (1 + 4 + 3), 14 * PARAMETERS, PARAMETERS * 4 * (1 + 18)),
]


def size(bytes_):
    return f"{bytes_ / 1e6:.2f} MB" if bytes_ < 1e8 else f"{bytes_ / 1e9:.2f} GB"


def time(kernel):
    return max(kernel[1] / BANDWIDTH, kernel[2] / FP32)


def table():
    lines = ["| kernel | bytes | FLOP | FLOP/byte | roofline | bound by | op by op | saved |", "|---|---|---|---|---|---|---|---|"]
    for kernel in KERNELS:
        name, moved, flops, eager = kernel
        bound = "memory" if moved / BANDWIDTH >= flops / FP32 else "fp32"
        lines.append(f"| {name} | {size(moved)} | {flops / 1e9:.3f} G | {flops / moved:.2f} | {1e6 * time(kernel):.1f} us | {bound} | "
                     f"{size(eager)} | {eager / moved:.1f}x |")
    return "\n".join(lines)


def picture():
    width, height, left, bottom = 760, 420, 70, 370
    x = lambda intensity: left + (math.log10(intensity) + 2) / 4 * (width - left - 20)
    y = lambda rate: bottom - (math.log10(rate) - 10) / 4 * (bottom - 20)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for decade in range(-2, 3):
        out.append(f'<line x1="{x(10**decade):.0f}" y1="20" x2="{x(10**decade):.0f}" y2="{bottom}" stroke="#e4e7ec"/>'
                   f'<text x="{x(10**decade):.0f}" y="{bottom + 16}" text-anchor="middle" fill="#475467">{10.0**decade:g}</text>')
    for decade in range(10, 15):
        out.append(f'<line x1="{left}" y1="{y(10**decade):.0f}" x2="{width - 20}" y2="{y(10**decade):.0f}" stroke="#e4e7ec"/>'
                   f'<text x="{left - 6}" y="{y(10**decade) + 4:.0f}" text-anchor="end" fill="#475467">{10**(decade - 12):g} T</text>')
    knee = FP32 / BANDWIDTH
    out.append(f'<polyline fill="none" stroke="#1f5fbf" stroke-width="2" points="{x(.01):.0f},{y(.01 * BANDWIDTH):.0f} {x(knee):.0f},{y(FP32):.0f} '
               f'{x(100):.0f},{y(FP32):.0f}"/>')
    out.append(f'<text x="{x(knee) + 8:.0f}" y="{y(FP32) - 6:.0f}" fill="#1f5fbf">fp32, 67 TFLOP/s</text>'
               f'<text x="{x(.02):.0f}" y="{y(.02 * BANDWIDTH) - 34:.0f}" fill="#1f5fbf">HBM3, 3.35 TB/s</text>')
    for number, (name, moved, flops, _) in enumerate(sorted((k for k in KERNELS if k[2]), key=lambda k: k[2] / k[1])):
        intensity = flops / moved
        px, py = x(intensity), y(min(FP32, intensity * BANDWIDTH))
        ty = bottom - 12 - 17 * number
        out.append(f'<line x1="{px:.0f}" y1="{py:.0f}" x2="{width - 190}" y2="{ty - 4}" stroke="#98a2b3" stroke-width=".6"/>'
                   f'<circle cx="{px:.0f}" cy="{py:.0f}" r="4" fill="#c2410c"/><text x="{width - 186}" y="{ty}" fill="#101828">{name}</text>')
    out.append(f'<text x="{(left + width) / 2:.0f}" y="{height - 8}" text-anchor="middle" fill="#475467">FLOP per byte</text>'
               f'<text x="14" y="{bottom / 2:.0f}" transform="rotate(-90 14 {bottom / 2:.0f})" text-anchor="middle" fill="#475467">FLOP/s</text></svg>')
    return "\n".join(out) + "\n"


def main():
    page = DOCS / "kernels.md"
    text = page.read_text(encoding="utf-8")
    begin, end = text.index("<!-- table -->\n") + len("<!-- table -->\n"), text.index("\n<!-- end of table -->")
    fresh = text[:begin] + table() + text[end:]
    if "--check" in sys.argv[1:]:
        stale = [str(path) for path, wanted in ((page, fresh), (DOCS / "roofline.svg", picture()))
                 if not path.exists() or path.read_text(encoding="utf-8") != wanted]
        if stale:
            sys.exit(f"{', '.join(stale)}: not what docs/roofline.py gives; run it and commit the result")
        return
    page.write_text(fresh, encoding="utf-8")
    (DOCS / "roofline.svg").write_text(picture(), encoding="utf-8")
    print(table())


if __name__ == "__main__":
    main()
