#!/usr/bin/env bash
# The measurements that are run by hand, at their smallest: each starts and prints its figures, which nobody judges here. A quarter of an hour;
# it fetches RecBole's packages.
#   by_hand_test.sh PROGRAMS ROOT
set -euo pipefail
programs=$(cd "$1" && pwd)
cd "$2"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=2
shows() { # WHAT PATTERN COMMAND...
  local what=$1 pattern=$2
  shift 2
  echo "by hand: $what"
  "$@" >"$folder/out" 2>&1 || { tail -30 "$folder/out"; echo "$what failed"; exit 1; }
  grep -qE -- "$pattern" "$folder/out" || { cat "$folder/out"; echo "$what: no '$pattern'"; exit 1; }
}
shows "bench_encoders" 'mf' "$programs/bench_encoders" mf
shows "bench_kernels.py" 'lora_qv' .deps/oracles/bin/python tests/bench/bench_kernels.py --device cpu --rounds 1 "$programs/bench_ops"
if [ -n "$(ls -A .deps/llama 2>/dev/null)" ]; then
  shows "generate_speed.py" 'llama' tests/bench/generate_speed.py "$programs/bench_generate" --pairs 1 --rows 2 --prompt 16 --new 4
else
  echo "by hand: generate_speed.py left out: launch/setup.sh --llama has not run"
fi
tests/bench/recbole/setup.sh "$folder/recbole"
"$programs/thinkrec_prepare" --format recbole --input .deps/data/recbole/dataset_example/ml-100k --output "$folder/data.h5"
shows "recbole/compare.py" 'MF' tests/bench/recbole/compare.py --programs "$programs" --data "$folder/data.h5" --python "$folder/recbole/bin/python" --pairs 1 MF
echo "by hand: all of them run"
