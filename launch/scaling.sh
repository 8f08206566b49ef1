#!/usr/bin/env bash
# Measures how training scales over the ranks of this machine, one thread each, and writes docs/scaling.md. Run it on a quiet machine.
#   launch/scaling.sh [--ranks 1,2] [--config RECIPE] [--set NAME=VALUE ...] [--batch 8] [--steps 12] [--repeats 3] [--results DIR] [--report RUN]
#     --ranks     numbers of ranks: 1, and what is compared with it
#     --config    the recipe whose model and data are used; default configs/quickstart.yaml (launch/quickstart.sh makes its data)
#     --batch     rows of a rank in a step of the global stage (weak scaling), and of an expert in a step of its own
#     --steps     steps timed, after two that are not
#     --results   folder of the figures; default docs/scaling, whose page is docs/scaling.md
#     --report    run directory whose report.html shows the plot, too; default runs/<name of the recipe>, where it is there
# It also records the collectives of a run of 2 ranks, which launch/simulate.py replays on more.
# Global stage: rows and tokens a second of R ranks over R times those of one. Experts: the stage's seconds when one rank trains one expert
# after the other, over those of R ranks, times R. Beside it what the machine has for R ranks: R runs of one rank at the same time, which have
# nothing to do with each other, each on a core of its own. Plans of experts onto up to 64 ranks are computed (tests/bench/bench_plan.cpp).
# Rows of a user are kept apart (mix.rows_per_user=1), so that all numbers of ranks have the same work a row.
# With the defaults about an hour on 2 cores (estimated: it was half an hour with rows that shared their beginnings).
# THINKREC_PROGRAMS: folder of the programs, default build/release.
set -euo pipefail
cd "$(dirname "$0")/.."
ranks=1,2 config=configs/quickstart.yaml batch=8 steps=12 repeats=3 results=docs/scaling report='' sets=()
while [ $# -gt 0 ]; do
  case $1 in
    --ranks | --config | --set | --batch | --steps | --repeats | --results | --report)
      [ $# -ge 2 ] || { echo "scaling: $1 needs a value" >&2; exit 64; } ;;&
    --ranks) ranks=$2 ;;
    --config) config=$2 ;;
    --set) sets+=(--set "$2") ;;
    --batch) batch=$2 ;;
    --steps) steps=$2 ;;
    --repeats) repeats=$2 ;;
    --results) results=$2 ;;
    --report) report=$2 ;;
    *) echo "scaling: unknown argument '$1'; see the head of launch/scaling.sh" >&2; exit 64 ;;
  esac
  shift 2
done
[[ $ranks =~ ^1(,[1-9][0-9]*)+$ ]] || { echo "scaling: --ranks $ranks: 1 and more numbers, separated by commas" >&2; exit 64; }
for number in "$batch" "$steps" "$repeats"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || { echo "scaling: '$number' is not a number from 1" >&2; exit 64; }
done
programs=${THINKREC_PROGRAMS:-build/release}
for program in thinkrec_train bench_plan; do
  [ -x "$programs/$program" ] || { echo "scaling: $programs/$program is not there: launch/test.sh builds it" >&2; exit 66; }
done
[ -z "$report" ] || [ -e "$report/recipe.yaml" ] || { echo "scaling: --report $report: no run directory (it has no recipe.yaml)" >&2; exit 66; }
if [ -z "$report" ] && [ -e "runs/$(basename "$config" .yaml)/recipe.yaml" ]; then report=runs/$(basename "$config" .yaml); fi
IFS=, read -ra sizes <<<"$ranks"
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
mkdir -p "$results"

train() { # RANKS RUN_DIR ARGUMENT...; 0 ranks: without the launcher
  local n=$1 run=$2 launcher=()
  shift 2
  # A rank stays on its core. What else a recipe does in these stages is left out.
  [ "$n" -eq 0 ] || launcher=(launch/run.sh --ranks "$n" --bind cores)
  [ -z "${core-}" ] || launcher=(taskset -c "$core")
  "${launcher[@]}" "$programs/thinkrec_train" --config "$config" --run-dir "$run" --set run.threads=1 \
    --set run.checkpoint_every=100000 --set encoder.max_epochs=1 --set mix.rows_per_user=1 "${sets[@]}" \
    --set activate.phases.0.validate_every=0 --set valid.rows=16 \
    --set "activate.phases.0.steps=$((steps + 2))" --set expert.validate_every=0 --set "expert.steps=$steps" --set "expert.batch=$batch" \
    --set "group.count=${sizes[-1]}" "$@" >"$run.log" 2>&1 || { tail -5 "$run.log" >&2; echo "scaling: the run failed, see above" >&2; exit 70; }
}

load=$(cut -d' ' -f1 /proc/loadavg)
commit=$(launch/measuring.py "$programs/thinkrec_train") # before results are written
for ((repeat = 1; repeat <= repeats; ++repeat)); do
  for n in "${sizes[@]}"; do
    train "$n" "$runs/global-$n-$repeat" --stages encode,activate --set "activate.phases.0.batch=$((n * batch))"
    if [ "$n" -gt 1 ]; then
      apart=()
      for ((core = 0; core < n; ++core)); do
        train 1 "$runs/apart-$n-$repeat-$core" --stages encode,activate --set "activate.phases.0.batch=$batch" &
        apart+=($!)
      done
      unset core
      for process in "${apart[@]}"; do wait "$process" || exit; done
    fi
    echo "scaling: global stage, $n ranks, repeat $repeat of $repeats: done after $SECONDS s" >&2
  done
done
# One global adapter and one grouping for all that follows.
train "${sizes[-1]}" "$runs/grouped" --stages encode,activate,group --set "activate.phases.0.batch=$batch"
rm -f "$runs/grouped/timings.json"
for ((repeat = 1; repeat <= repeats; ++repeat)); do
  for n in "${sizes[@]}"; do
    cp -r "$runs/grouped" "$runs/experts-$n-$repeat"
    if [ "$n" -eq 1 ]; then
      for ((expert = 0; expert < sizes[-1]; ++expert)); do
        train 1 "$runs/experts-$n-$repeat" --stages expert --experts "$expert" --set "activate.phases.0.batch=$batch"
      done
    else
      train "$n" "$runs/experts-$n-$repeat" --stages expert --set "activate.phases.0.batch=$batch"
    fi
    echo "scaling: experts, $n ranks, repeat $repeat of $repeats: done after $SECONDS s" >&2
  done
done
# The schedule of collectives for launch/simulate.py, with a validation and a checkpoint among the steps.
record=(--set run.record_collectives=true --set "activate.phases.0.batch=$((2 * batch))" --set activate.phases.0.steps=4 --set expert.steps=1
  --set activate.phases.0.validate_every=2 --set run.checkpoint_every=2 --set evaluate.rows=64 --set evaluate.calibration_rows=0
  --set "evaluate.models=[global]")
train 2 "$runs/recorded" "${record[@]}"
cp "$runs/recorded/watch/collectives-0.txt" "$results/collectives.tsv"
train 0 "$runs/forecast" "${record[@]}" --dry-run --ranks 2 --json "$runs/forecast.json"
python3 - "$runs/forecast.json" $((2 * batch)) "$commit" >"$results/recorded.json" <<'END'
import json, sys
phase = json.load(open(sys.argv[1]))["phases"][0]
print(json.dumps({"ranks": 2, "rows_per_step": int(sys.argv[2]), "valid_rows": 16, "test_rows": 64, "trained_values": phase["trained_values"],
                  "commit": sys.argv[3]}))
END
"$programs/bench_plan" >"$results/plan.jsonl"
command="launch/scaling.sh --ranks $ranks --config $config --batch $batch --steps $steps --repeats $repeats"
[ ${#sets[@]} -eq 0 ] || command+=" ${sets[*]}"
python3 docs/scaling.py --measure "$runs" "$results" "$command" "$commit" "$load"
if [ -n "$report" ]; then
  cp "$results/measured.json" "$report/scaling.json"
  "$programs/thinkrec_eval" --run-dir "$report" --report
  echo "scaling: $report/report.html shows it" >&2
fi
