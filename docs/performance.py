#!/usr/bin/env python3
"""Writes the measured part of docs/performance.md (between its two marks) and its picture from the figures in docs/performance/, which
launch/performance.py leaves there. Nothing is estimated: what was not measured yet is named as such.

  performance.py [FOLDER]    FOLDER (default docs/performance) -> FOLDER.md, FOLDER.svg
  performance.py --check     fails when docs/performance.md or docs/performance.svg is not what the folder gives
"""
import json
import pathlib
import statistics
import sys

DOCS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "launch"))
import measuring  # noqa: E402

BEGIN, END = "<!-- measured: docs/performance.py writes what follows -->", "<!-- end of measured -->"
median = statistics.median


def spread(values, form=".2f"):
    """The median, and the least and most beside it where there are several."""
    text = format(median(values), form)
    return text if len(values) < 2 else f"{text} ({format(min(values), form)}–{format(max(values), form)})"


def table(columns, rows):
    return ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"] + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def rates(runs):
    return [run["samples_per_s"] for run in runs]


def memory(runs):
    return median(run["peak_rss_gb"] for run in runs)


WANTED = {"global stage": "5", "from the first step": "8", "after the first pass": "14", "nothing cached": "4.5"}


def text_beside_peer(figures):
    return table(["model", "threads", "", "thinkrec, rows/s", "HF PEFT, rows/s", "ratio", "wanted", "ratio of CPU time", "memory, GB", "largest loss difference"],
                 [[run["yard"], run["threads"], run["kind"], spread(rates(run["ours"])), spread(rates(run["peer"])), f"**{spread(run['speed'])}**",
                   WANTED[run["kind"]], spread(run["cpu_speed"]) if "cpu_speed" in run else "*not measured*", f"{memory(run['ours']):.2f} of {memory(run['peer']):.2f}",
                   f"{run['loss_difference']:.0e}"] for run in figures])


def text_expert(figures):
    return ["Three passes of 32 rows, the making of what is cached included; the peer has nothing to cache.", ""] + text_beside_peer(figures)


def text_together(figures):
    return ["Four experts of one base at once, over one after the other (cached; wanted: .95):", ""] + table(
        ["model", "threads", "rows of an expert in a step", "at once, rows/s", "one by one, rows/s", "ratio", "memory at once, and of one alone, GB",
         "largest loss difference"],
        [[run["yard"], run["threads"], run["batch"], spread(run["together"]), spread(run["alone"]), f"**{spread(run['ratio'])}**",
          " and ".join(f"{median(side):.2f}" for side in zip(*run["peak_rss_gb"])),
          f"{run['loss_difference']:.0e}" if "loss_difference" in run else "*not measured*"] for run in figures])


def text_floor(figures):
    kinds = ("products", "attention", "other kernels", "libtorch besides")
    kind_of = lambda name: ("products" if name == "products" else "attention" if name.startswith("thinkrec::attention") else
                            "other kernels" if name.startswith("thinkrec::") else "libtorch besides")
    rows = []
    for run in figures:
        whole = sum(run["seconds"].values())
        parts = [sum(seconds for name, seconds in run["seconds"].items() if kind_of(name) == kind) / whole for kind in kinds]
        rate = spread([rate / 1e9 for rate in run["flop_per_s"]], ".0f") if "flop_per_s" in run else "*not measured*"
        rows.append([run["yard"], run["threads"], run["stage"], f"**{spread(run['share_of_floor'])}**", rate, *(f"{100 * part:.0f} %" for part in parts)])
    return ["The step's necessary matrix products alone, in libtorch on the same shapes in the same run, over the step (wanted: .60; on CPUs with AMX or",
            "AVX-512 the step's own products are faster than libtorch's), GFLOP of those products a second of the step, and where its time",
            "goes (`thinkrec_bench --breakdown`):", ""] + table(["model", "threads", "stage", "share", "GFLOP/s", *kinds], rows)


def text_shared(figures):
    return ["Rows of one user that hold what they begin with once, over the same rows apart (made with `--rows-per-user 4`: four rows of a user share all but",
            "the last 40 tokens of their prompts, and a batch holds two users; MovieLens-1M's rows share less, see [results.md](results.md#rows-of-a-user-together);",
            "wanted: 1.8):",
            ""] + table(["model", "threads", "together, rows/s", "apart, rows/s", "ratio"],
                        [[run["yard"], run["threads"], spread(run["shared"]), spread(run["apart"]), f"**{spread(run['ratio'])}**"] for run in figures])


def text_scoring(figures):
    lines = ["100 candidates of one user together, over one by one (MovieLens-1M, embedded model; wanted: 7 with a history of 10, 12 with 25), and",
             "the test rows of users under their own sums of four experts, the sums made anew, over all under one adapter (wanted: .8). A score is a raw",
             "logit; differences are relative to it where it is above 1 (wanted: 1e-5).", ""]
    rows = []
    for run in figures:
        for case in run["candidates"]:
            rows.append([run["threads"], f"history of {case['history']}", f"{case['rows_per_s']:.2f}", f"{case['rows_per_s_one_by_one']:.2f}",
                         f"**{case['ratio']:.2f}**", f"{case['largest_difference']:.0e}", " to ".join(f"{score:.1f}" for score in case["score_range"])])
        fused = run["fused"]
        rows.append([run["threads"], f"fused, {fused['users']} users", f"{fused['rows_per_s_fused']:.2f}", f"{fused['rows_per_s_global']:.2f}",
                     f"**{fused['ratio']:.2f}**", "", ""])
    return lines + table(["threads", "", "rows/s", "compared with, rows/s", "ratio", "largest difference, of a score", "scores"], rows)


def text_checkpointing(figures):
    return ["`run.activation_checkpointing` (global stage, 1 thread):", ""] + table(
        ["model", "times as long", "memory without, and with, GB"],
        [[run["yard"], spread(run["seconds"]), " and ".join(f"{median(side):.2f}" for side in zip(*run["memory"]))] for run in figures])


def text_forecast(figures):
    rows = []
    for run in figures:
        said = 8 * run["forecast"]["steps"] / run["forecast"]["seconds"]
        room = run["forecast"]["memory_bytes"] / 2**20
        stage = "expert" if run.get("stage") == "expert" else "global"
        rows.append([stage, run["micro_tokens"], f"{said:.3f}", f"{run['rows_per_s']:.3f}", f"**{said / run['rows_per_s']:.2f}**", f"{room:,.0f}",
                     f"{run['peak_mib']:,.0f}", f"**{room / run['peak_mib']:.2f}**"])
    without = [] if any(row[0] == "expert" for row in rows) else ["", "Of an expert: *not measured yet*, `launch/performance.py forecast --again`."]
    return ["`thinkrec_train --dry-run` beside the run (embedded model, 1 thread; wanted: within 15 % and 10 %):", ""] + table(
        ["stage", "tokens of a pass", "rows/s forecast", "measured", "ratio", "MiB forecast", "measured", "ratio"], rows) + without


PARTS = (("global", "The step beside Hugging Face PEFT", text_beside_peer), ("expert", "Experts beside Hugging Face PEFT", text_expert),
         ("together", "Several experts on one rank", text_together), ("floor", "How near the step is to its matrix products", text_floor),
         ("shared", "Shared beginnings in training", text_shared), ("scoring", "Candidates and fused users", text_scoring),
         ("checkpointing", "Activation checkpointing", text_checkpointing), ("forecast", "Forecasts", text_forecast))


def read(folder):
    """What was measured of each part, a file for each yardstick and number of threads, small models first."""
    found = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: (path.stem.split("-")[0], [(len(word), word) for word in path.stem.split("-")])):
        part = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(part["part"], []).append(part)
    return found


def built(part):
    """What is to be said of programs that were built from another commit than the tree is at, or from changes of it."""
    programs = part.get("programs", part["commit"].removesuffix("-dirty"))
    return "" if measuring.same(part["commit"], programs) else f", programs built at `{programs}`"


def passes(part):
    """Before `97d2b90` the bench took passes of 4,096 tokens."""
    return ", passes of 4,096 tokens" if part["part"] in ("global", "expert", "together", "floor", "shared", "checkpointing") and "micro_tokens" not in part else ""


def measured(found, picture_name):
    lines = ["## Training and scoring, each beside its peer", f"![rows a second beside Hugging Face PEFT]({picture_name})", "",
             "Medians of the pairs, run in turn, with the least and most (scoring: medians of three in one process; forecasts: one run each); where two",
             "sides train the same rows, losses of every step agree, or there is no figure. Each command is under its table; what lies in",
             "`docs/performance/` is measured anew with `--again` behind it. The yardstick (`tests/bench/yardstick`): prompts of 350 tokens in the median,",
             "a fifth of the rows with explanations of 180, batches of 8, LoRA of rank 8 on q and v, fp32, dropout 0. thinkrec takes a batch in passes of",
             "about 2,048 tokens, its trainer's default (4,096 where that is said), which saves memory; the peer takes it in one, as",
             "its users' scripts do (`gradient_accumulation_steps` would save it memory, too). Threads of OpenMP wait passively on both sides. GB are",
             "2^30 bytes."]
    for name, title, text in PARTS:
        lines += ["", f"### {title}"]
        if name not in found:
            lines.append(f"*Not measured yet*: `launch/performance.py {name}` on a quiet machine.")
            continue
        lines += text([run for part in found[name] for run in part["figures"]]) + [""]
        lines += [f"- `{part['command']}`, {part['cores']} cores of {part['cpu']}, load {part['load']:.1f} at the start, {part['date']}, "
                  f"commit `{part['commit']}`{built(part)}{passes(part)}" for part in found[name]]
    return "\n".join(lines)


def picture(found):
    bars = []
    for name in ("global", "expert"):
        for run in (run for part in found.get(name, []) for run in part["figures"]):
            if run["kind"] not in ("global stage", "from the first step"):
                continue
            bars.append((f"{run['yard']}, {name}, {run['threads']} thread{'s' if run['threads'] > 1 else ''}",
                         median(rates(run["ours"])), median(rates(run["peer"])), median(run["speed"])))
    height = 60 + 44 * max(1, len(bars))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="760" height="{height}" fill="white"/>',
           '<text x="20" y="24" fill="#101828" font-size="14">rows a second, thinkrec and Hugging Face PEFT on the same rows</text>']
    if not bars:
        out.append('<text x="380" y="70" text-anchor="middle" fill="#475467">not measured yet</text>')
    most = max([bar[1] for bar in bars], default=1)
    for place, (label, ours, peer, ratio) in enumerate(bars):
        top = 44 + 44 * place
        out.append(f'<text x="200" y="{top + 18}" text-anchor="end" fill="#475467">{label}</text>')
        for shift, rate, fill, words in ((0, ours, "#1f5fbf", f"{ours:.2f} ({ratio:.1f} times)"), (16, peer, "#98a2b3", f"{peer:.2f}")):
            width = 400 * rate / most
            out.append(f'<rect x="210" y="{top + shift}" width="{width:.1f}" height="14" fill="{fill}"/>')
            out.append(f'<text x="{216 + width:.0f}" y="{top + shift + 11}" fill="#101828">{words}</text>')
    return "\n".join(out + ["</svg>", ""])


def with_measured(page, text):
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        sys.exit(f"performance.py: the page has not its two marks, '{BEGIN}' and '{END}'")
    return page[:begin + len(BEGIN)] + "\n" + text + "\n" + page[end:]


def main():
    arguments = sys.argv[1:]
    check = arguments == ["--check"]
    folder = DOCS / "performance" if check or not arguments else pathlib.Path(arguments[0]).resolve()
    page, plot = folder.with_suffix(".md"), folder.with_suffix(".svg")
    old = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    found = read(folder)
    new, drawn = with_measured(old, measured(found, plot.name)), picture(found)
    if check:
        if new != old or not plot.exists() or plot.read_text(encoding="utf-8") != drawn:
            sys.exit("performance.py: docs/performance.md or docs/performance.svg is not what docs/performance/ gives: run docs/performance.py")
        return
    page.write_text(new, encoding="utf-8")
    plot.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
