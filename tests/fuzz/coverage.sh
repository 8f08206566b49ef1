#!/usr/bin/env bash
# Line coverage of the parsers by the seeds and by what the fuzz targets have found (tests/fuzz/seeds, build/fuzz/corpus). Builds the targets
# anew with the preset `coverage`. Fails when a parser has less than 90 %.
#   tests/fuzz/coverage.sh                 a table
#   tests/fuzz/coverage.sh --show FILE     the lines of a source file that no input reached
set -euo pipefail
cd "$(dirname "$0")/../.."
declare -A parsers=(
  [arguments]="src/core/command_line.cpp src/core/options.cpp"
  [safetensors]="src/io/safetensors_header.cpp src/io/bounded_json.cpp" [safetensors_index]="src/io/safetensors_index.cpp" [gguf]="src/io/gguf.cpp src/text/gguf_tokenizer.cpp"
  [tokenizer]="src/text/hf_tokenizer.cpp src/text/hf_pre_tokenizer.cpp src/text/sentencepiece_model.cpp src/text/wordpiece_files.cpp" [config]="src/model/config.cpp src/adapters/peft_config.cpp"
  [recipe]="src/core/recipe_reader.cpp src/core/recipe_yaml.cpp src/core/recipe.cpp" [manifest]="src/checkpoint/checkpoint.cpp"
  [tables]="src/io/csv.cpp src/io/json_lines.cpp src/io/line_reader.cpp src/data/formats/csv_splits.cpp src/data/formats/ratings.cpp src/data/formats/recbole.cpp src/data/formats/movielens.cpp src/data/formats/amazon.cpp src/data/formats/yelp.cpp src/data/formats/reviews.cpp src/data/formats/fields.cpp src/data/formats/html_text.cpp"
  [metrics]="src/report/run_data.cpp")
command -v llvm-profdata-19 >/dev/null || { echo "coverage: llvm-profdata-19 is not there: launch/setup.sh --fuzz installs it" >&2; exit 66; }
cmake --preset coverage >/dev/null && cmake --build --preset coverage -- --quiet
profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT
objects=()
for name in "${!parsers[@]}"; do
  mkdir -p "build/fuzz/corpus/$name"
  LLVM_PROFILE_FILE="$profiles/$name.raw" "build/coverage/fuzz_$name" -runs=0 "build/fuzz/corpus/$name" "tests/fuzz/seeds/$name" >"$profiles/log" 2>&1 ||
    { tail -20 "$profiles/log" >&2; exit 70; }
  objects+=(-object "build/coverage/fuzz_$name")
done
llvm-profdata-19 merge -sparse "$profiles"/*.raw -o "$profiles/all"
if [ "${1:-}" = --show ]; then
  llvm-cov-19 show "${objects[@]}" -instr-profile="$profiles/all" --sources "$2" | grep -E '^ *[0-9]+\| +0\|' || echo "coverage: $2: every line"
  exit 0
fi
low=0
for name in $(printf '%s\n' "${!parsers[@]}" | sort); do
  for source in ${parsers[$name]}; do
    # Columns of the summary: file, regions (3), functions (3), lines, missed lines, line coverage, ...
    share=$(llvm-cov-19 report "${objects[@]}" -instr-profile="$profiles/all" --sources "$source" | awk '$1 == "TOTAL" {print $10}')
    printf '%-18s %-42s %s\n' "$name" "$source" "$share"
    awk -v share="${share%\%}" 'BEGIN {exit share >= 90}' && low=1
  done
done
[ "$low" -eq 0 ] || { echo "coverage: below 90 %, see above" >&2; exit 1; }
