#!/usr/bin/env bash
# launch/gpu_bundle.sh, and what it packed at work in an empty environment: alone, under its own mpirun, and the tests that ask for a GPU.
#   bundle_test.sh DEPS
set -euo pipefail
cd "$(dirname "$0")/../.."
launch/gpu_bundle.sh
run=(env -i PATH=/usr/bin:/bin HOME=/nonexistent OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 THINKREC_SITE="$1/python" build/gpu_bundle/run.sh)
"${run[@]}" thinkrec_bench --version
"${run[@]}" mpirun -np 2 --oversubscribe build/gpu_bundle/run.sh thinkrec_train --version
for test in kernels_ops_gpu_test gpu_step_test; do
  code=0
  "${run[@]}" "$test" || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 77 ] || exit "$code"
done
code=0
"${run[@]}" no_such_program || code=$?
[ "$code" -eq 64 ]
