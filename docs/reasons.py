#!/usr/bin/env python3
"""Writes docs/reasons.md: ten reasons of a data set as they came, chosen by a seed and not by hand.
   docs/reasons.py PROGRAMS DATA.h5 --called "WHO" --made-by "COMMAND" --machine "WORDS" [--seed 1] [--output docs/reasons.md]"""
import argparse
import json
import os
import random
import subprocess

HEAD = """# Ten synthesised reasons

Written by `docs/reasons.py`: {count} of the {total} reasons in a data set, drawn by seed {seed} and not chosen by hand, as they came, good and bad. They are
what `thinkrec_synthesize reasons` got from {called} (provenance `{model}`), and what a training learns from:
synthesised reasons, not those that a trained model generates.

```sh
{command}
```

On {machine}, at commit `{commit}`. Of all {total} reasons, {first} came with a right verdict at once, the others after
the right answer had been revealed (their turn is above 1). The median explanation has {median} words.

| row | user | item | liked | turn | reason |
|---|---|---|---|---|---|
"""


def cell(text):
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("data")
    parser.add_argument("--called", required=True, help="the model, in words")
    parser.add_argument("--made-by", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--output", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "reasons.md"))
    chosen = parser.parse_args()
    listed = subprocess.run([os.path.join(chosen.programs, "thinkrec_inspect"), "--reasons", chosen.data], check=True, capture_output=True, text=True)
    reasons = [json.loads(line) for line in listed.stdout.splitlines()]
    for reason in reasons:
        reason["provenance"] = json.loads(reason["provenance"])
    commit = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short=7", "HEAD"], check=True,
                            capture_output=True, text=True).stdout.strip()
    lengths = sorted(len(r["text"].split()) - 1 for r in reasons)
    text = HEAD.format(count=min(chosen.count, len(reasons)), total=len(reasons), seed=chosen.seed, called=chosen.called, command=chosen.made_by, machine=chosen.machine,
                       commit=commit, model=", ".join(sorted({r["provenance"]["model"] for r in reasons})),
                       first=sum(r["provenance"]["turns"] == 1 for r in reasons), median=lengths[len(lengths) // 2])
    for r in random.Random(chosen.seed).sample(reasons, min(chosen.count, len(reasons))):
        cells = (r["row"], r["user"], r["title"], "yes" if r["label"] else "no", r["provenance"]["turns"], r["text"])
        text += "| " + " | ".join(cell(c) for c in cells) + " |\n"
    with open(chosen.output, "w", encoding="utf-8") as out:
        out.write(text)
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
