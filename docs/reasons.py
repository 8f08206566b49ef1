#!/usr/bin/env python3
"""Writes docs/reasons.md from what `launch/tables.sh text` left in docs/results/text: ten synthesised and ten generated reasons as they came,
drawn by a seed and not by hand, the paper's Table 3, and its case study.

  docs/reasons.py [FOLDER]     FOLDER (default docs/results/text) -> docs/reasons.md
  docs/reasons.py --check      fails when docs/reasons.md is not what the folder gives
"""
import json
import pathlib
import random
import sys

import results

DOCS = pathlib.Path(__file__).resolve().parent
SEED = 1
PAPER = {"Prompt4NR": ".0010, .2013", "TALLRec": ".0275, .2607", "CoLLM": ".0003, .1626", "ThinkRec": ".0333, .3104"}  # METEOR, BLEURT
METRICS = (("meteor", "METEOR"), ("bleu4", "BLEU-4"), ("rouge_l", "ROUGE-L"), ("bleurt", "BLEURT"))
PENDING = "*Not yet run*: `launch/tables.sh text`."


def cell(text):
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def row(*columns):
    return results.row(*map(cell, columns))


def words(text):
    return len(text.split()) - 1  # without the verdict


def liked(label):
    return "yes" if label else "no"


def draw(entries, count, seed=SEED):
    return random.Random(seed).sample(entries, min(count, len(entries)))


def synthesised(reasons):
    for reason in reasons:
        reason["provenance"] = json.loads(reason["provenance"])
    lengths = sorted(words(reason["text"]) for reason in reasons)
    first = sum(reason["provenance"]["turns"] == 1 for reason in reasons)
    models = ", ".join(f"`{name}`" for name in sorted({reason["provenance"]["model"] for reason in reasons}))
    lines = [f"Of the {len(reasons)} reasons, by model {models}, {first} came with a right verdict at once, the others after the right answer had been",
             f"revealed (their turn is above 1). The median explanation has {lengths[len(lengths) // 2]} words.", ""]
    lines += results.header("row", "user", "item", "liked", "turn", "reason")
    return lines + [row(r["row"], r["user"], r["title"], liked(r["label"]), r["provenance"]["turns"], r["text"]) for r in draw(reasons, 10)]


def generated(report, name):
    lines = results.header("row", "user", "item", "liked", f"{name}'s reason")
    return lines + [row(t["row"], t["user"], t["item"], t["label"].lower(), t["candidates"][name]) for t in draw(report["texts"], 10)]


def metric(values, key, sign=False):
    if key not in values or values[key] is None:
        return "–"
    low, high = values[key + "_ci"]
    return f"{values[key]:+.3f} [{low:+.3f}, {high:+.3f}]" if sign else f"{values[key]:.3f} [{low:.3f}, {high:.3f}]"


def table3(report):
    known = [(key, title) for key, title in METRICS if any(key in values for values in report["methods"].values())]
    sources = ", ".join(f"{count} by {source}" for source, count in report["references"].items())
    lines = [f"{report['rows']} test rows of {report['users']} users; references: {sources}.",
             "Intervals are of 95 %, by bootstrap over users.", "",
             "What ThinkRec learnt from and the references both begin with the same words (above), and a good part of any score is that frame.",
             "*Of another row* tells how much: the same reasons, each beside another user's row with the same verdict. The paper's references are",
             "another model's, so its METEOR is not to be compared. BLEURT is left out: its weights are not to be had here (`--bleurt` takes them).", ""]
    lines += results.header("method", *(title for _, title in known), "tokens", "right verdicts", "paper's METEOR, BLEURT")
    for name, values in report["methods"].items():
        verdicts = f"{values['verdicts']:.2f}" if "verdicts" in values else "–"
        lines.append(row(name, *(metric(values, key) for key, _ in known), f"{values['tokens']:.0f}", verdicts, PAPER.get(name, "")))
    lines.append("")
    lines += results.header("paired difference", *(title for _, title in known))
    for name, values in report["difference"].items():
        lines.append(row(name, *(metric(values, key, sign=True) for key, _ in known)))
    return lines


def case_study(report):
    names = [name for name in ("Prompt4NR", "TALLRec", "CoLLM", "ThinkRec") if name in report["methods"]]
    names = names or list(report["methods"])
    lines = []
    for text in draw(report["texts"], 3, SEED + 1):
        lines += [f"**User {text['user']}, {cell(text['item'])}: liked, {text['label'].lower()}**", "", *results.header("method", "reason")]
        lines += [row(name, text["candidates"][name]) for name in names] + [row("reference", text["reference"]), ""]
    return lines[:-1]


def page(folder):
    read = lambda name: (folder / name).read_text(encoding="utf-8") if (folder / name).exists() else None
    reasons, report, run = read("synthesised.jsonl"), read("text.json"), read("run.txt")
    lines = ["# Reasons as they came", "",
             "Written by `docs/reasons.py` from what `launch/tables.sh text` left in `docs/results/text/`. Rows are drawn by a seed and not chosen by",
             "hand. Everything is by the embedded SmolLM2-135M-Instruct in 4 bits, on MovieLens-1M, whose items have a title and a year and no keywords;",
             "the paper has an 8 B model, and references by another.", "",
             "**Older than the product:** these reasons were led on from their verdict with the words *because the user liked (disliked) other movies",
             "such as*. Since `de064e6` they are led on with titles of the user's own history (`how-it-works/synthesize.md`), which is on no page yet;",
             "`launch/tables.sh text` makes it.", ""]
    lines += run.splitlines() + [""] if run else []
    lines += ["## Synthesised: what a training learns from", "", *(synthesised([json.loads(line) for line in reasons.splitlines()]) if reasons else [PENDING]), ""]
    report = json.loads(report) if report else None
    name = "ThinkRec" if report and "ThinkRec" in report["methods"] else next(iter(report["methods"]), "") if report else ""
    lines += ["## Generated: what users read", "", *(generated(report, name) if report else [PENDING]), ""]
    lines += ["## Table 3: beside references", "", *(table3(report) if report else [PENDING]), ""]
    lines += ["## Case study: the same three rows by each method", "", *(case_study(report) if report else [PENDING]), ""]
    return "\n".join(lines)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    folder = pathlib.Path(arguments[0]) if arguments else DOCS / "results" / "text"
    target = DOCS / "reasons.md" if not arguments else folder.with_suffix(".md")
    text = page(folder)
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            sys.exit(f"{target}: not what docs/reasons.py gives; run it and commit the result")
        return
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
