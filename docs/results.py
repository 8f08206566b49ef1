#!/usr/bin/env python3
"""Writes docs/results.md and its pictures from what lies in docs/results/ (launch/tables.sh leaves it there): one folder for each row
of the paper's tables, one file for each encoder, data.json. Nothing is computed here that thinkrec did not print, but for
means over seeds; rows that have not run are named as such.

  results.py [FOLDER]          FOLDER (default docs/results) -> FOLDER.md, FOLDER/*.svg
  results.py --check           fails when docs/results.md is not what the folder gives
"""
import gzip
import json
import math
import pathlib
import statistics
import sys

DOCS = pathlib.Path(__file__).resolve().parent
METRICS = (("auc", "AUC"), ("uauc", "UAUC"), ("ndcg@5", "NDCG@5"), ("map@5", "MAP@5"))
PAPER = {  # Tables 2 and 4, which has no AUC; Prompt4NR once for all its prompts
    "ml1m": {"mf": (.6401, .6079, .7286, .4520), "lightgcn": (.6140, .6230, .7333, .4600), "sasrec": (.6956, .6687, .7663, .4747),
             "prompt4nr": (.6936, .6433, .7665, .4652), "tallrec": (.6872, .6553, .7683, .4706), "collm": (.7141, .6672, .7585, .4647),
             "thinkrec": (.7764, .6775, .7747, .4774), "without-both": (None, .6658, .7643, .4674),
             "without-thinking": (None, .6599, .7570, .4623), "without-experts": (None, .6765, .7740, .4742)},
    "yelp": {"mf": (.5838, .5389, .8120, .2552), "lightgcn": (.5360, .5179, .8076, .2520), "sasrec": (.6184, .6096, .8564, .2785),
             "prompt4nr": (.6272, .6034, .8348, .2705), "tallrec": (.5334, .5206, .7988, .2538), "collm": (.6373, .5961, .8420, .2734),
             "thinkrec": (.6955, .6065, .8585, .2826), "without-both": (None, .5904, .8429, .2736),
             "without-thinking": (None, .5865, .8402, .2702), "without-experts": (None, .5999, .8562, .2791)},
    "book": {"mf": (.6592, .5527, .6805, .2887), "lightgcn": (.5622, .4985, .6406, .2598), "sasrec": (.5411, .5197, .6550, .2701),
             "prompt4nr": (.6764, .5699, .7023, .3048), "tallrec": (.6632, .5568, .7023, .3049), "collm": (.7830, .5672, .6917, .2968),
             "thinkrec": (.8302, .5705, .6858, .2977), "without-both": (None, .5017, .6381, .2613),
             "without-thinking": (None, .4692, .6284, .2548), "without-experts": (None, .5631, .6801, .2939)},
}
TABLE1 = {"ml1m": ("33,891", "10,401", "7,331", "5,945", "3,687", "1.48"),
          "yelp": ("1,637,168", "144,929", "144,929", "40,617", "60,014", "1.24"),
          "book": ("650,865", "56,262", "56,262", "22,686", "47,059", "1.07")}
TITLES = {"ml1m": "MovieLens-1M", "yelp": "Yelp", "book": "Amazon-Book"}
NAMES = {"mf-plain": "MF, plain", "mf": "MF", "lightgcn": "LightGCN", "lightgcn-recency": "LightGCN with recency", "sasrec": "SASRec",
         "prompt4nr-hard": "Prompt4NR, hard", "prompt4nr-soft": "Prompt4NR, soft", "prompt4nr-hybrid": "Prompt4NR, hybrid",
         "tallrec": "TALLRec", "collm": "CoLLM", "thinkrec": "**ThinkRec**", "without-thinking": "without thinking",
         "without-experts": "without experts", "without-both": "without both"}
ENCODERS = ("mf-plain", "mf", "lightgcn", "lightgcn-recency", "sasrec")
MODELS = ("prompt4nr-hard", "prompt4nr-soft", "prompt4nr-hybrid", "tallrec", "collm", "thinkrec")
ABLATIONS = ("without-both", "without-thinking", "without-experts", "thinkrec")
EXPERTS = tuple(f"experts-{n}" for n in range(1, 5))
GROUPINGS = tuple(f"group-{encoder}-{method}" for encoder in ("mf", "lightgcn", "sasrec") for method in ("kmeans", "ward"))
COUNTING = (("item_mean", "item mean"), ("logistic", "logistic"))
PENDING = "*not yet run*"


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def cell(value, interval=None, sign=False):
    if value is None:
        return "–"
    text = f"{value:+.4f}" if sign else f"{value:.4f}".lstrip("0")
    if interval and None not in interval:
        bound = (lambda x: f"{x:+.3f}") if sign else (lambda x: f"{x:.3f}".lstrip("0"))
        text += f" [{bound(interval[0])}, {bound(interval[1])}]"
    return text


def cells(metrics, sign=False):
    return [cell(metrics[key], metrics.get(key + "_ci"), sign) for key, _ in METRICS]


def row(*columns):
    return "| " + " | ".join(columns) + " |"


def header(*columns):
    return [row(*columns), "|" + "---|" * len(columns)]


class Results:
    def __init__(self, folder):
        self.folder = folder
        data = read_json(folder / "data.json")
        self.dataset = data["name"] if data else "ml1m"
        self.rows = {path.parent.name: read_json(path) for path in sorted(folder.glob("*/evaluation.json"))}

    def paper(self, name, first=0):
        """The paper's figures of a row as text, from metric `first` on; empty where it has none."""
        known = PAPER[self.dataset].get("prompt4nr" if name.startswith("prompt4nr") else name)
        return ", ".join(cell(value) for value in known[first:]) if known else ""

    def served(self, name):
        """What the row's users get: the fusion of experts."""
        return self.rows[name]["models"]["fused"]

    def run(self, name):
        lines = (self.folder / name / "run.txt").read_text(encoding="utf-8").splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def against(self, name, rival):
        """A row beside another, on the rows that both scored: {"rows", "difference"}; None before both have run."""
        found = read_json(self.folder / name / f"against-{rival}.json") if name in self.rows else None
        if found is None:
            return None
        difference = next(iter(found["difference"].values()))  # the rival's counting baselines may follow
        return {"rows": found["rows"], "difference": difference}

    def steps(self, name):
        """What the global stage wrote of each step."""
        with gzip.open(self.folder / name / "metrics.jsonl.gz", "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        return [record for record in records if record["stage"].startswith("activate/") and "computed_share" in record]

    def encoder(self, name):
        return read_json(self.folder / "encoders" / f"{name}.json")


def data_table(results):
    data = read_json(results.folder / "data.json")
    if data is None:
        return [PENDING]
    keys = ("train", "valid", "test", "users", "items")
    lines = header("data set", *(f"#{key}" for key in keys), "σ/μ")
    lines.append(row(data["name"], *(f"{data[key]:,}" for key in keys), f"{data['sigma_over_mu']:.2f}"))
    lines.append(row("the paper's", *TABLE1[results.dataset]))
    lines += ["", "The paper's numbers of users and items are the sizes of its tables; here they are those that occur. σ/μ is over train rows per user."]
    return lines


def main_table(results):
    lines = header("model", "rows scored", *(f"{title} [95 %]" for _, title in METRICS), "paper's AUC, UAUC, NDCG@5, MAP@5")
    whole = results.rows.get("thinkrec")
    for key, title in (("item_mean", "item mean"), ("logistic", "logistic regression on four counts")):
        lines.append(row(title, *([f"{whole['rows']:,}", *cells(whole["models"][key])] if whole else [PENDING, "", "", "", ""]), ""))
    sampled = next((values for values in results.rows.values() if whole and values["rows"] != whole["rows"]), None)
    for key, title in (("item_mean", "item mean"), ("logistic", "logistic regression")):
        if sampled:
            lines.append(row(f"{title}, on the sample", f"{sampled['rows']:,}", *cells(sampled["models"][key]), ""))
    for name in ENCODERS:
        chosen = results.encoder(name)
        paper = results.paper(name)
        if chosen is None:
            lines.append(row(NAMES[name], PENDING, "", "", "", "", paper))
            continue
        test = chosen["test"]
        lines.append(row(f"{NAMES[name]}, mean of {chosen['seeds']} seeds", f"{chosen['rows']:,}",
                         *cells(test), paper))
    for name in MODELS:
        paper = results.paper(name)
        if name not in results.rows:
            lines.append(row(NAMES[name], PENDING, "", "", "", "", paper))
            continue
        lines.append(row(NAMES[name], f"{results.rows[name]['rows']:,}", *cells(results.served(name)), paper))
        calibrated = results.rows[name]["models"].get("calibrated")
        if calibrated:
            lines.append(row(f"{NAMES[name]}, calibrated", f"{results.rows[name]['rows']:,}", *cells(calibrated), paper))
    return lines


def calibration_text(results):
    """How the calibrated rows were chosen."""
    lines = []
    for name in results.rows:
        chosen = results.rows[name].get("calibration")
        if chosen:
            lines += ["", f"*Calibrated* adds {chosen['encoder_weight']:.3f} times the encoder's logit to the fused one: of ten shares of the encoder the one "
                          f"(.{round(10 * chosen['share'])}) that scored best on {chosen['rows']:,} valid rows of {chosen['users']:,} users by whom no adapter was "
                          "chosen; the encoder was, on all valid rows (`evaluate.calibration_rows`, [how](how-it-works/fuse-and-evaluate.md))."]
    return lines


def difference_row(title, rows, difference):
    return row(title, f"{rows:,}", *cells(difference, sign=True))


def difference_rows(results, name, others, models=(("fused", ""),)):
    """What a row's evaluation says of its differences from others; nothing where it has not run."""
    run = results.rows.get(name, {"rows": 0, "difference": {}})
    return [difference_row(f"{NAMES.get(name, name)}{suffix} − {title}", run["rows"], run["difference"][f"{model} - {other}"])
            for other, title in others for model, suffix in models if f"{model} - {other}" in run["difference"]]


def thinkrec_rows(results, name):
    """A row's difference from ThinkRec."""
    against = results.against(name, "thinkrec")
    return [difference_row(f"{NAMES.get(name, name)} − ThinkRec", against["rows"], against["difference"])] if against else []


def difference_table(results):
    lines = header("difference", "rows", *(f"{title} [95 %]" for _, title in METRICS))
    for name in MODELS:
        lines += difference_rows(results, name, (*COUNTING, ("encoder", "its encoder")), (("fused", ""), ("calibrated", ", calibrated")))
        lines += thinkrec_rows(results, name)
    for name in ENCODERS:
        chosen = results.encoder(name)
        for other, title in COUNTING:
            if chosen and "difference" in chosen:
                lines.append(difference_row(f"{NAMES[name]} − {title}", chosen["rows"], chosen["difference"][other]))
    return lines if len(lines) > 2 else [PENDING]


def paired_table(results, names):
    """These rows' differences from ThinkRec and from what counting gives; nothing where there are none."""
    lines = header("paired difference", "rows", *(f"{title} [95 %]" for _, title in METRICS))
    for name in names:
        if name != "thinkrec":  # difference_table has it
            lines += thinkrec_rows(results, name) + difference_rows(results, name, COUNTING)
    return ["", *lines] if len(lines) > 2 else []


def ablation_table(results):
    lines = header("", "rows", *(f"{title} [95 %]" for _, title in METRICS), "paper's UAUC, NDCG@5, MAP@5")
    for name in ABLATIONS:
        paper = results.paper(name, 1)
        if name not in results.rows:
            lines.append(row(NAMES[name], PENDING, "", "", "", "", paper))
            continue
        lines.append(row(NAMES[name], f"{results.rows[name]['rows']:,}", *cells(results.served(name)), paper))
    return lines + paired_table(results, ABLATIONS)


def mean_cell(values):
    """The mean with its interval of 95 % by Student's t over the values, of which there are at most three."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return cell(mean, sign=True)
    half = {2: 12.706, 3: 4.303}[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return cell(mean, (mean - half, mean + half), sign=True)


def thinking_table(results):
    """Three seeds with and without reason rows on MovieLens-100K, and the differences of each pair."""
    folder = results.folder / "thinking"
    seeds = [seed for seed in (1, 2, 3) if (folder / f"difference-{seed}.json").exists()]
    if not seeds:
        return [PENDING]
    lines = header("seed", "reason rows", "rows", *(f"{title} [95 %]" for _, title in METRICS))
    differences = []
    for seed in seeds:
        for arm, name in (("without-experts", "a fifth"), ("without-both", "none")):
            run = read_json(folder / f"{arm}-{seed}.json")
            lines.append(row(str(seed), name, f"{run['rows']:,}", *cells(run["models"]["global"])))
        against = read_json(folder / f"difference-{seed}.json")
        difference = next(iter(against["difference"].values()))
        differences.append(difference)
        lines.append(row(str(seed), "difference, paired", f"{against['rows']:,}", *cells(difference, sign=True)))
    lines.append(row("mean", "difference, over seeds", "", *(mean_cell([difference[key] for difference in differences]) for key, _ in METRICS)))
    if not (folder / "run.txt").exists():  # it comes when all seeds have run
        return lines
    run = results.run("thinking")
    return lines + ["", f"`{run['command']}`, commit `{run['commit']}`; global adapter, 800 train rows, 100 steps of 8. On MovieLens-1M, one seed: the "
                        "row *without both* against *without experts*, and *without thinking*, in table 4."]


def together_table(results):
    """Rows of a user drawn together, in training and scoring, beside rows drawn one by one."""
    lines = header("train rows", "of a prompt's tokens, computed", "rows", *(f"{title} [95 %]" for _, title in METRICS))
    against = results.against("apart", "without-both")
    if against is None or "without-thinking" not in results.rows:
        return [PENDING]
    for name, trained_in, title in (("without-both", "without-thinking", "four neighbours of a user, anchored history"),
                                    ("apart", "apart", "one by one, sliding history")):
        shares = [step["computed_share"] for step in results.steps(trained_in)]
        lines.append(row(title, f"{100 * sum(shares) / len(shares):.0f} %", f"{results.rows[name]['rows']:,}", *cells(results.served(name))))
    lines.append(row("one by one − together, paired", "", f"{against['rows']:,}", *cells(against["difference"], sign=True)))
    return lines


def chart(title, x_title, ticks, series):
    """A line chart: series = [(name, [(x, low, value, high)])], ticks = [(x, text)], the lines of a text parted by |."""
    width, height, left, bottom, top = 760, 400, 64, 320, 36
    xs = [x for x, _ in ticks] + [x for _, points in series for x, *_ in points]
    ys = [y for _, points in series for _, *bounds in points for y in bounds]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x0, x1 = (x0 - .5, x1 + .5) if x0 == x1 else (x0 - .06 * (x1 - x0), x1 + .06 * (x1 - x0))
    y0, y1 = y0 - .05 * (y1 - y0 or 1), y1 + .05 * (y1 - y0 or 1)
    px = lambda x: left + (x - x0) / (x1 - x0) * (width - left - 130)
    py = lambda y: bottom - (y - y0) / (y1 - y0) * (bottom - top)
    colours = ("#1f5fbf", "#c2410c", "#15803d", "#7c3aed")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="20" fill="#101828" font-size="14">{title}</text>']
    for i in range(6):
        y = y0 + (y1 - y0) * i / 5
        out.append(f'<line x1="{left}" x2="{width - 130}" y1="{py(y):.1f}" y2="{py(y):.1f}" stroke="#e4e7ec"/>'
                   f'<text x="{left - 6}" y="{py(y) + 4:.1f}" text-anchor="end" fill="#475467">{y:.3f}</text>')
    for x, text in ticks:
        for line, part in enumerate(text.split("|")):
            out.append(f'<text x="{px(x):.1f}" y="{bottom + 18 + 14 * line}" text-anchor="middle" fill="#475467">{part}</text>')
    for number, (name, points) in enumerate(series):
        colour, shift = colours[number], 4 * (number - 1.5)
        path = " ".join(f"{px(x) + shift:.1f},{py(y):.1f}" for x, _, y, _ in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, low, y, high in points:
            out.append(f'<line x1="{px(x) + shift:.1f}" x2="{px(x) + shift:.1f}" y1="{py(low):.1f}" y2="{py(high):.1f}" stroke="{colour}"/>'
                       f'<circle cx="{px(x) + shift:.1f}" cy="{py(y):.1f}" r="3.5" fill="{colour}"/>')
        out.append(f'<rect x="{width - 116}" y="{top + 22 * number}" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{width - 98}" y="{top + 22 * number + 11}" fill="#101828">{name}</text>')
    out.append(f'<text x="{(left + width - 130) / 2:.0f}" y="{height - 16}" text-anchor="middle" fill="#475467">{x_title}</text></svg>')
    return "\n".join(out) + "\n"


def series_of(results, points):
    """points: [(x, row)]; all four metrics of what the rows serve."""
    return [(title, [(x, *([results.served(name)[key + "_ci"][0], results.served(name)[key], results.served(name)[key + "_ci"][1]]))
                     for x, name in points]) for key, title in METRICS]


def experts_figure(results):
    points = [(int(name[-1]), name) for name in EXPERTS if name in results.rows]
    if len(points) < 2:
        return None
    return chart(f"Number of experts, {TITLES[results.dataset]}", "experts", [(x, str(x)) for x, _ in points], series_of(results, points))


def grouping_figure(results):
    points = sorted((results.rows[name]["cohens_d"]["features"], name) for name in GROUPINGS
                    if name in results.rows and results.rows[name].get("cohens_d"))
    if len(points) < 2:
        return None
    titles = {"mf": "MF", "lightgcn": "LightGCN", "sasrec": "SASRec", "kmeans": "k-means", "ward": "Ward"}
    ticks = [(place, "|".join([*(titles[part] for part in name.split("-")[1:]), f"d {apart:.2f}"])) for place, (apart, name) in enumerate(points)]
    return chart(f"Grouping, {TITLES[results.dataset]}: by how far the groups are apart", "Cohen's d of the two groups along the line between their means",
                 ticks, series_of(results, [(place, name) for place, (_, name) in enumerate(points)]))


def plain_table(results, names):
    lines = header("row", "rows", *(f"{title} [95 %]" for _, title in METRICS), "Cohen's d: train rows, features")
    for name in names:
        if name not in results.rows:
            lines.append(row(name, PENDING, "", "", "", "", ""))
            continue
        apart = results.rows[name].get("cohens_d")
        lines.append(row(name, f"{results.rows[name]['rows']:,}", *cells(results.served(name)),
                         f"{apart['train_rows']:.2f}, {apart['features']:.2f}" if apart else ""))
    return lines + paired_table(results, names)


def runs_table(results):
    lines = header("row", "command", "commit", "minutes", "machine")
    for name in ("encoders", *results.rows, "thinking"):
        if not (results.folder / name / "run.txt").exists():
            continue
        run = results.run(name)
        lines.append(row(name, f"`{run['command']}`", f"`{run['commit']}`", f"{int(run['seconds']) / 60:.0f}", run.get("machine", "*not noted*")))
    return [*lines, "", "`-dirty`: the tree had changes that were not committed, so that the row cannot be rebuilt exactly."] if len(lines) > 2 else [PENDING]


def figure(svg, name):
    return [f"![{name}]({name})", ""] if svg else []


def page(results, folder_name):
    experts, groupings = experts_figure(results), grouping_figure(results)
    notes = results.folder / "notes.md"
    lines = [
        f"# Results on {TITLES[results.dataset]}", "",
        "The paper's tables, with the embedded 135 M model in place of its 8 B one. `launch/tables.sh` trains and scores every row and writes this",
        "page (`docs/results.py`); what a row leaves (adapter, scores, log, recipe) lies in `docs/results/<row>/`, and rows that are there are not",
        "run again. Every language-model row trains on the same 3,000 train rows, for 375 steps of 8 rows (`configs/tables/embedded.yaml`);",
        "those scored on less than the whole test set are scored on one fixed sample of whole users. Intervals are of 95 %, by bootstrap over users;",
        "differences are paired. The paper's columns are for orientation: other model, other budget.", "",
        *(notes.read_text(encoding="utf-8").rstrip().splitlines() + [""] if notes.exists() else []),
        "## Table 1: the data", "", *data_table(results), "",
        "## Table 2: accuracy", "", *main_table(results), *calibration_text(results), "",
        "Against what counting alone gives, and against the encoder whose vectors the row splices:", "", *difference_table(results), "",
        "## Table 4: what thinking and experts add", "", *ablation_table(results), "",
        "## Does thinking help? MovieLens-100K", "", *thinking_table(results), "",
        "## Rows of a user together", "",
        "What prompts of one user begin with alike is computed once (`mix.rows_per_user`, `prompt.window`); what that costs the global adapter, "
        "trained without reason rows:", "",
        *together_table(results), "",
        "## Fig. 3: number of experts", "", *figure(experts, f"{folder_name}/experts.svg"), *plain_table(results, EXPERTS), "",
        "## Fig. 4: grouping features", "", *figure(groupings, f"{folder_name}/groupings.svg"), *plain_table(results, GROUPINGS), "",
        "## How each row was got", "", *runs_table(results), "",
    ]
    return "\n".join(lines), {"experts.svg": experts, "groupings.svg": groupings}


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    folder = pathlib.Path(arguments[0]) if arguments else DOCS / "results"
    target = folder.parent / (folder.name + ".md")
    text, pictures = page(Results(folder), folder.name)
    wanted = {target: text, **{folder / name: svg for name, svg in pictures.items() if svg}}
    if "--check" in sys.argv[1:]:
        stale = [str(path) for path, content in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != content]
        if stale:
            sys.exit(f"{', '.join(stale)}: not what docs/results.py gives; run it and commit the result")
        return
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
