#!/usr/bin/env python3
"""docs/reasons.py: the page is what docs/results/text gives, with texts as they came, and says what has not run."""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])


def run(*arguments):
    return subprocess.run([sys.executable, ROOT / "docs" / "reasons.py", *map(str, arguments)], capture_output=True, text=True)


def metrics(value):
    return {"meteor": value, "meteor_ci": [value - .1, value + .1], "tokens": 20}


def main():
    assert run("--check").returncode == 0, run("--check").stderr
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "text"
        folder.mkdir()
        page = folder.with_suffix(".md")
        assert run(folder).returncode == 0
        assert page.read_text(encoding="utf-8").count("*Not yet run*") == 4
        reasons = [{"row": n, "user": "u", "item": "i", "title": "A | B", "label": n % 2, "text": f"Yes. <b>{n}</b>",
                    "provenance": json.dumps({"model": "abc", "turns": 1 + n % 2})} for n in range(12)]
        (folder / "synthesised.jsonl").write_text("".join(json.dumps(reason) + "\n" for reason in reasons), encoding="utf-8")
        texts = [{"row": n, "user": "u", "item": "Film", "label": "Yes", "reference": f"r{n}", "source": "s",
                  "candidates": {"ThinkRec": f"t{n}", "CoLLM": f"c{n}", "global": f"g{n}"}} for n in range(12)]
        report = {"rows": 12, "users": 3, "references": {"s": 12}, "methods": {name: metrics(.5) for name in ("ThinkRec", "CoLLM", "global")},
                  "difference": {"CoLLM - ThinkRec": metrics(-.2)}, "texts": texts}
        (folder / "text.json").write_text(json.dumps(report), encoding="utf-8")
        (folder / "run.txt").write_text("Made so.\n", encoding="utf-8")
        assert run("--check", folder).returncode != 0
        result = run(folder)
        assert result.returncode == 0, result.stderr
        text = page.read_text(encoding="utf-8")
        for part in ("Made so.", "Of the 12 reasons, by model `abc`, 6 came", "A \\| B | ", "Yes. &lt;b>", "| ThinkRec | 0.500 [0.400, 0.600] | 20 |",
                     "| CoLLM - ThinkRec | -0.200 [-0.300, -0.100] |"):
            assert part in text, (part, text)
        generated = text.split("## Generated")[1].split("## Table 3")[0]
        assert generated.count("| t") == 10 and text.count("| global | g") == 0
        study = text.split("## Case study")[1]
        assert study.count("**User u, Film: liked, yes**") == 3 and study.count("| CoLLM | c") == 3 and study.count("| reference | r") == 3
        assert run("--check", folder).returncode == 0
    print("reasons: passed")


main()
