#!/usr/bin/env python3
"""Writes docs/scaling.md and its picture from the figures in docs/scaling/, which launch/scaling.sh leaves there. Nothing is estimated: what
was not measured yet is named as such.

  scaling.py [FOLDER]      FOLDER (default docs/scaling) -> FOLDER.md, FOLDER.svg
  scaling.py --check       fails when docs/scaling.md or docs/scaling.svg is not what the folder gives
  scaling.py --measure RUNS FOLDER COMMAND COMMIT LOAD     takes measured.json from the runs of launch/scaling.sh, then as above
"""
import datetime
import json
import math
import os
import pathlib
import re
import statistics
import sys

DOCS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "launch"))
import measuring  # noqa: E402

WANTED = .95
WANTED_SIMULATED = {64: .97, 1024: .90}


def global_rates(run, warm=2):
    """Rows and computed tokens a second over all steps but the first ones. Where rows share their beginnings, those are fewer than the rows hold."""
    rows = tokens = seconds = 0
    batch = int(re.search(r"batch: (\d+)", (run / "recipe.yaml").read_text().split("phases:")[1]).group(1))
    for line in (run / "metrics.jsonl").read_text().splitlines():
        step = json.loads(line)
        if not step["stage"].startswith("activate/") or "rows_per_s" not in step or step["step"] <= warm:
            continue
        took = batch / step["rows_per_s"]
        rows, tokens, seconds = rows + batch, tokens + step["tokens_per_s"] * step["computed_share"] * took, seconds + took
    return rows / seconds, tokens / seconds


def measure(runs, folder, command, commit, load):
    groups = {}
    for run in sorted(path for path in runs.iterdir() if path.is_dir()):
        kind, _, rest = run.name.partition("-")
        if kind in ("global", "apart", "experts"):
            groups.setdefault((kind, int(rest.split("-")[0])), []).append(run)
    result = {"command": command, "commit": commit, "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "load": float(load),
              "cpu": measuring.processor(), "cores": os.cpu_count(), "tokens": "computed", "global": [], "apart": [], "experts": []}
    for (kind, ranks), found in sorted(groups.items()):
        if kind == "global":
            rates = [global_rates(run) for run in found]
            result[kind].append({"ranks": ranks, "rows_per_s": [r[0] for r in rates], "tokens_per_s": [r[1] for r in rates]})
        elif kind == "apart":  # runs of one repeat add up
            sums = {}
            for run in found:
                repeat = run.name.split("-")[2]
                sums[repeat] = sums.get(repeat, 0) + global_rates(run)[1]
            result[kind].append({"ranks": ranks, "tokens_per_s": list(sums.values())})
        else:
            seconds = [json.loads((run / "timings.json").read_text())["expert"] for run in found]
            teams = set(re.findall(r"expert: (team \d+ of \d+ ranks) trains", pathlib.Path(f"{found[0]}.log").read_text()))
            result[kind].append({"ranks": ranks, "seconds": seconds, "teams": len(teams)})
    (folder / "measured.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def read(folder):
    """What was measured, the plan, what was simulated, and of what record; None where it is not there."""
    measured, simulated, recorded = ((json.loads(path.read_text(encoding="utf-8")) if path.exists() else None)
                                     for path in (folder / f"{name}.json" for name in ("measured", "simulated", "recorded")))
    plan = folder / "plan.jsonl"
    return measured, [json.loads(line) for line in plan.read_text(encoding="utf-8").splitlines()] if plan.exists() else [], simulated, recorded


def efficiencies(measured):
    """{"global stage": {ranks: efficiencies}, "experts": ...}, one of each repeat: numbers of ranks run in turn, as a machine changes."""
    rates = {row["ranks"]: row["tokens_per_s"] for row in measured["global"]}
    times = {row["ranks"]: row["seconds"] for row in measured["experts"]}
    return {"global stage": {ranks: [rate / (ranks * one) for rate, one in zip(rates[ranks], rates[1])] for ranks in rates},
            "experts": {ranks: [one / (ranks * seconds) for seconds, one in zip(times[ranks], times[1])] for ranks in times}}


def spread(values, form):
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({format(min(values), form)}-{format(max(values), form)})"


def measured_tables(measured):
    if measured is None:
        return "*Not measured yet*: run `launch/scaling.sh` on a quiet machine."
    shares = efficiencies(measured)
    date = measured.get("date")
    lines = [f"Machine: {measured['cores']} cores, {measured['cpu']}, load {measured['load']:g} at the start{f', {date}' if date else ''}; commit `{measured['commit']}`. Medians, and the",
             "least and most, of the repeats; an efficiency and any other ratio is that of a repeat, whose runs follow each other. Command:", "", "```sh", measured["command"], "```", "",
             f"Global stage, weak scaling (wanted: {WANTED:g}), and what the machine has for so many: tokens a second of as many runs of one rank at",
             "the same time, each on a core of its own:", "",
             "| ranks | rows/s | tokens/s | efficiency | runs apart, tokens/s | of one alone | ranks over runs apart |", "|---|---|---|---|---|---|---|"]
    apart = {row["ranks"]: row["tokens_per_s"] for row in measured["apart"]}
    one = measured["global"][0]["tokens_per_s"]
    for row in measured["global"]:
        ranks, beside = row["ranks"], ["", "", ""]
        if ranks in apart:
            beside = [spread(apart[ranks], ".0f"), spread([rate / (ranks * single) for rate, single in zip(apart[ranks], one)], ".2f"),
                      spread([rate / rest for rate, rest in zip(row["tokens_per_s"], apart[ranks])], ".2f")]
        lines.append(f"| {ranks} | {spread(row['rows_per_s'], '.2f')} | {spread(row['tokens_per_s'], '.0f')} | "
                     f"{spread(shares['global stage'][ranks], '.2f')} | {' | '.join(beside)} |")
    lines += ["", f"Experts, the same work on more ranks (wanted: {WANTED:g}); on one rank one after the other (`--experts`), though one rank left to itself trains them at once, which is faster still. Each expert has the same steps x batch here,",
              "whatever the size of its group: that four unequal ones on two ranks have within 5 % of half the work each is shown in tokens (`ctest -R app_ranks`), and on the plan (below), not in seconds.", "",
              "| ranks | teams | seconds of the stage | efficiency |", "|---|---|---|---|"]
    for row in measured["experts"]:
        lines.append(f"| {row['ranks']} | {row['teams']} | {spread(row['seconds'], '.1f')} | {spread(shares['experts'][row['ranks']], '.2f')} |")
    return "\n".join(lines)


def plan_tables(plan):
    if not plan:
        return "*Not computed yet*: run `bench_plan`."
    text = []
    ranks = sorted({row["ranks"] for row in plan})
    for sizes in sorted({row["sizes"] for row in plan}, reverse=True):
        rows = {(row["groups"], row["ranks"]): row for row in plan if row["sizes"] == sizes}
        text += [f"{sizes.capitalize()} groups, {next(iter(rows.values()))['trials']} draws each: the worst makespan over its bound (teams, on average)", "",
                 "| groups | " + " | ".join(f"{n} ranks" if n > 1 else "1 rank" for n in ranks) + " |", "|---" * (len(ranks) + 1) + "|"]
        for groups in sorted({row["groups"] for row in plan}):
            cells = [rows[groups, n] for n in ranks]
            text.append(f"| {groups} | " + " | ".join(f"{cell['worst']:.3f} ({cell['teams']:.1f})" for cell in cells) + " |")
        text.append("")
    return "\n".join(text).rstrip()


def record_of(recorded):
    if recorded is None:
        return "Its record of the collectives is not here."
    return f"The collectives were recorded at `{recorded['commit']}`."


def simulated_tables(simulated, recorded):
    if simulated is None:
        return "*Not simulated yet*: run `launch/simulate.py`."
    platform, base = simulated["platform"], simulated["base"]
    lines = [f"""The collectives of a run of 2 ranks (`run.record_collectives`), in their order, replayed by {simulated['simgrid']} SMPI with the sizes of
Llama-3-8B: {base['values']:,} trained values, {simulated['rows']} rows a rank in a step, shared out by tokens as the trainer does, lengths of the yardstick.
A token takes {base['token_s'] * 1e6:.1f} µs, from its operations at {platform['mfu'] * 100:.0f} % of the GPU's 989 TFLOP/s in bf16. Nodes of {platform['gpus_per_node']} GPUs: NVLink {platform['nvlink_bytes_per_s'] / 1e9:.0f} GB/s and
{platform['nvlink_latency_s'] * 1e6:.0f} µs a hop; {platform['network_bytes_per_s'] / 1e9:.0f} GB/s and {platform['network_latency_s'] * 1e6:.0f} µs between nodes, one of a DGX H100's eight adapters. Weights ({base['weights'] / 1e9:.0f} GB) are read once a
node, at {platform['node_storage_bytes_per_s'] / 1e9:.0f} GB/s, all nodes together {platform['storage_bytes_per_s'] / 1e9:.0f} GB/s; each rank turns its share into fp32
({platform['widen_bytes_per_s'] / 1e9:.2f} GB/s of bf16 on a core) and hashes its share of the {platform['weight_files']} files ({platform['sha256_bytes_per_s'] / 1e9:.1f} GB/s), one after the other, and copies all to its GPU. Efficiency: the run's computation spread evenly over the ranks, over all the time it takes, with
start-up, imbalance, communication, validation ({base['valid_rows']:,} rows every {simulated['validate_every']} steps), checkpoints (every {simulated['checkpoint_every']} steps) and the evaluation of
{base['test_rows']:,} rows; {simulated['steps']:,} steps on every number of ranks. "As a ring": every sum of gradients as one flat ring over all ranks, which NCCL
leaves for trees at many. Not in it: jitter of the machines, uneven shares of the rows that are scored, the launcher's own time, the encoder (minutes on one GPU), and overlap of
communication and computation, of which there is none.""", "",
             f"Simulated at commit `{simulated['commit']}`; no figure depends on the machine that simulates. {record_of(recorded)} Command:", "", "```sh", simulated["command"], "```", "",
             "| ranks | efficiency | as a ring | step | of it communication (ring) | balance | start-up | an epoch of Yelp, all included | its efficiency |",
             "|---" * 9 + "|"]
    for row in simulated["simulated"]:
        lines.append(f"| {row['ranks']} | {row['efficiency']:.3f} | {row['ring_efficiency']:.3f} | {row['step_s'] * 1e3:.1f} ms | {row['communication_s'] * 1e3:.1f} ms "
                     f"({row['ring_communication_s'] * 1e3:.1f}) | {row['balance']:.3f} | {row['start_s']:.1f} s | {row['epoch_steps']:,} steps, {row['epoch_s'] / 60:.1f} min | {row['epoch_efficiency']:.3f} |")
    wanted = " and ".join(f"{share:.2f} at {ranks:,} ranks" for ranks, share in WANTED_SIMULATED.items())
    last = simulated["simulated"][-1]
    lines += ["", f"Wanted: {wanted}. The first column, of {simulated['steps']:,} steps, is held to it; one epoch of Yelp has fewer steps the more",
              f"ranks there are. At {last['ranks']:,} ranks it is {last['epoch_steps']:,} steps, and its efficiency is **{last['epoch_efficiency']:.3f}**: start-up takes {100 * last['start_s'] / last['epoch_s']:.0f} % of the time."
              + (" So few rows have no need\nof so many GPUs." if last["epoch_efficiency"] < .9 else ""), "",
              "## Llama-3-8B, forecast",
              f"Made by the same run of `launch/simulate.py`, at commit `{simulated['commit']}`: what `thinkrec_train --dry-run --gpu {platform['gpu']}` forecasts for the phase",
              "`activate/projector` of `configs/recipes/thinkrec.yaml` on data of Yelp's size: the step's operations from the shapes, the memory from what is held. A",
              "test holds the memory to 10 % of what is measured (`tests/train/forecast_test.cpp`, `app_dry_run`); the time was measured on CPUs alone, in",
              f"`performance.md`. The share of the peak, {platform['mfu'] * 100:.0f} %, is an assumption, not a measurement: what trainers of dense models of this size report for H100",
              "in bf16 is a third to a half, and rows of unequal length, small passes and the adapters cost some of it. `--mfu` sets another.", "",
              "| H100s | rows/s | memory of a GPU | an epoch of Yelp (1,637,168 rows) |", "|---|---|---|---|"]
    for row in simulated["forecast"]:
        lines.append(f"| {row['gpus']} | {row['rows_per_s']:.0f} | {row['memory_bytes'] / 2**30:.1f} GiB | {row['epoch_s'] / 3600:.2f} h |")
    return "\n".join(lines)


def page(measured, plan, simulated, recorded, picture_name):
    return f"""# Scaling

![measured efficiency, the plan of experts over its lower bound, and simulated efficiency]({picture_name})

## Measured
One thread a rank, all ranks on this machine, which share its memory and last cache: what is lost there is in the figures. Efficiency of the
global stage is the computed tokens a second of R ranks over R times those of one, at the same rows a rank; of the experts, the seconds of one rank
that trains one after the other, over R times the seconds of R ranks that train them at once.

{measured_tables(measured)}

## Simulated
{simulated_tables(simulated, recorded)}

## The plan of experts
How long the slowest team takes over the lower bound, all tokens over all ranks. The plan (`src/experts/schedule.h`) joins teams until it is
within 5 %, so no figure is above 1.050; the price is experts that share a team, which then train in the same batches over one base model.
Group sizes are drawn: uniform up to a million tokens, or long-tailed (lognormal, sigma 1.2). `build/release/bench_plan` prints them; they are
the same on every machine.

{plan_tables(plan)}
"""


def picture(measured, plan, simulated):
    width, height, top, bottom = 1100, 300, 40, 250
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']

    def text(x, y, words, anchor="middle", fill="#475467"):
        out.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{fill}">{words}</text>')

    def line(x1, y1, x2, y2, stroke, dash=""):
        out.append(f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{stroke}"{dash}/>')

    dashed = ' stroke-dasharray="4 3"'
    # Left: efficiency, from 0 to 1.2.
    left, right = 50, 340
    y = lambda share: bottom - min(share, 1.2) / 1.2 * (bottom - top)
    text((left + right) / 2, 20, "measured efficiency")
    for share in (0, .25, .5, .75, 1):
        line(left, y(share), right, y(share), "#e4e7ec")
        text(left - 6, y(share) + 4, f"{share:g}", "end")
    if measured is None:
        text((left + right) / 2, (top + bottom) / 2, "not measured yet")
    else:
        shares = efficiencies(measured)
        counts = sorted(shares["global stage"])
        slot = (right - left) / len(counts)
        for place, ranks in enumerate(counts):
            text(left + slot * (place + .5), bottom + 16, f"{ranks} rank{'s' if ranks > 1 else ''}")
            for side, (name, fill) in enumerate((("global stage", "#1f5fbf"), ("experts", "#c2410c"))):
                if ranks not in shares[name]:
                    continue
                share = statistics.median(shares[name][ranks])
                x = left + slot * (place + .5) + (side - 1) * 40
                out.append(f'<rect x="{x + 2:.0f}" y="{y(share):.0f}" width="36" height="{bottom - y(share):.0f}" fill="{fill}"/>')
                text(x + 20, y(share) - 4, f"{share:.2f}", fill="#101828")
        text(left, height - 8, "■ global stage", "start", "#1f5fbf")
        text(left + 100, height - 8, "■ experts", "start", "#c2410c")
        line(left, y(WANTED), right, y(WANTED), "#667085", dashed)
    # Middle: worst makespan over bound, long-tailed groups, 1 to 64 ranks.
    left, right = 430, 675
    z = lambda ratio: bottom - (ratio - 1) / .06 * (bottom - top)
    text((left + right) / 2, 20, "plan of experts: makespan / lower bound, worst")
    for ratio in (1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06):
        line(left, z(ratio), right, z(ratio), "#e4e7ec")
        text(left - 6, z(ratio) + 4, f"{ratio:.2f}", "end")
    line(left, z(1.05), right, z(1.05), "#667085", dashed)
    ranks = sorted({row["ranks"] for row in plan})
    for place, count in enumerate(ranks):
        text(left + (right - left) * place / max(1, len(ranks) - 1), bottom + 16, count)
    text((left + right) / 2, height - 8, "ranks (long-tailed groups)")
    for groups, stroke in ((2, "#1f5fbf"), (4, "#c2410c"), (16, "#15803d")):
        own = {row["ranks"]: row["worst"] for row in plan if row["groups"] == groups and row["sizes"] == "long-tailed"}
        if not own:
            continue
        points = " ".join(f"{left + (right - left) * place / max(1, len(ranks) - 1):.0f},{z(own[count]):.0f}" for place, count in enumerate(ranks))
        out.append(f'<polyline fill="none" stroke="{stroke}" stroke-width="2" points="{points}"/>')
        text(right + 6, 60 + {2: 0, 4: 16, 16: 32}[groups], f"{groups} groups", "start", stroke)
    # Right: simulated efficiency.
    left, right = 800, 1030
    text((left + right) / 2, 20, "simulated efficiency over ranks (dashed: wanted)")
    if simulated is None:
        text((left + right) / 2, (top + bottom) / 2, "not simulated yet")
        return "\n".join(out) + "</svg>\n"
    rows, curves = simulated["simulated"], (("efficiency", f"{simulated['steps']:,} steps", "#1f5fbf"), ("ring_efficiency", "as a ring", "#c2410c"),
                                            ("epoch_efficiency", "an epoch of Yelp", "#15803d"))
    least = math.floor(10 * min(min(row[key] for key, _, _ in curves) for row in rows))
    v = lambda share: bottom - (share - least / 10) / (1 - least / 10) * (bottom - top)
    for tenth in range(least, 11):
        line(left, v(tenth / 10), right, v(tenth / 10), "#e4e7ec")
        text(left - 6, v(tenth / 10) + 4, f"{tenth / 10:g}", "end")
    slot = (right - left) / len(rows)
    place_of = lambda place: left + slot * (place + .5)
    for place, row in enumerate(rows):
        text(place_of(place), bottom + 16, f"{row['ranks']:,}")
        if row["ranks"] in WANTED_SIMULATED:
            line(place_of(place) - 20, v(WANTED_SIMULATED[row["ranks"]]), place_of(place) + 20, v(WANTED_SIMULATED[row["ranks"]]), "#667085", dashed)
    for (key, name, stroke), x in zip(curves, (790, 890, 968)):
        points = " ".join(f"{place_of(place):.0f},{v(row[key]):.0f}" for place, row in enumerate(rows))
        out.append(f'<polyline fill="none" stroke="{stroke}" stroke-width="2" points="{points}"/>')
        text(place_of(len(rows) - 1) + 6, v(rows[-1][key]) + 4, f"{rows[-1][key]:.3f}", "start", stroke)
        text(x, height - 8, f"■ {name}", "start", stroke)
    return "\n".join(out) + "</svg>\n"


def main():
    arguments = sys.argv[1:]
    folder = DOCS / "scaling"
    if arguments[:1] == ["--measure"]:
        folder = pathlib.Path(arguments[2])
        measure(pathlib.Path(arguments[1]), folder, *arguments[3:])
    elif arguments and arguments != ["--check"]:
        folder = pathlib.Path(arguments[0])
    measured, plan, simulated, recorded = read(folder)
    wanted = {folder.with_suffix(".md"): page(measured, plan, simulated, recorded, folder.name + ".svg"),
              folder.with_suffix(".svg"): picture(measured, plan, simulated)}
    if arguments == ["--check"]:
        stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        if stale:
            sys.exit(f"{', '.join(stale)}: not what docs/scaling.py gives; run it and commit the result")
        return
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    print(f"wrote {folder.with_suffix('.md')}")


if __name__ == "__main__":
    main()
