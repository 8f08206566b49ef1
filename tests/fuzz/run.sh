#!/usr/bin/env bash
# Runs the fuzz targets of build/asan (cmake --preset asan && cmake --build --preset asan --target fuzz_targets), each for some seconds or
# inputs, JOBS (2) at a time, from the seeds and from what earlier runs found (build/fuzz/corpus). Fails when one finds something: the input
# is then in build/fuzz/findings.
#   tests/fuzz/run.sh                      10 s each
#   tests/fuzz/run.sh 1800                 half an hour each
#   tests/fuzz/run.sh 1000000x             a million inputs each
#   tests/fuzz/run.sh 1800 gguf tokenizer  only these
#   build/asan/fuzz_gguf build/fuzz/findings/gguf-crash-...   one input again
set -euo pipefail
cd "$(dirname "$0")/../.."
case ${1:-10} in
  *x) limit=-runs=${1%x} ;;
  *) limit=-max_total_time=${1:-10} ;;
esac
shift || true
if [ $# -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do
    source=${source##*/}
    set -- "$@" "${source%_fuzz.cpp}"
  done
fi
mkdir -p build/fuzz/findings
# -entropic=0: choosing inputs by their rare features takes half the time of a target with as many features as `metrics`.
fuzz() {
  local name=$1 log=build/fuzz/$1.log
  mkdir -p "build/fuzz/corpus/$name"
  if "build/asan/fuzz_$name" "$limit" -max_len=8192 -rss_limit_mb=512 -malloc_limit_mb=256 -timeout=5 \
    -entropic=0 -use_value_profile=1 -print_final_stats=1 -verbosity=1 -artifact_prefix="build/fuzz/findings/$name-" \
    "build/fuzz/corpus/$name" "tests/fuzz/seeds/$name" >"$log" 2>&1 </dev/null; then
    echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
  else
    tail -n 60 "$log"
    echo "fuzz: $name: see above and $log; the input is in build/fuzz/findings"
    return 1
  fi
}
export -f fuzz
# What was freed is kept by AddressSanitizer up to 64 MB, and of each allocation four frames: with its 256 MB and 30 frames, of which it never
# forgets one that differs, it and not the target would come near the 512 MB that each has in all (an input run again by hand shows all frames).
export limit UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0:detect_stack_use_after_return=0:quarantine_size_mb=64:malloc_context_size=4
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I{} bash -c 'fuzz {}'
