#!/usr/bin/env bash
# sanitize.sh TOOL PROGRAM [ARGUMENT...]: a test on a GPU under compute-sanitizer's memcheck, racecheck, synccheck or initcheck. Exit code
# 77 (skipped) where there is no compute-sanitizer, or where the program says so for want of a GPU.
set -euo pipefail
tool=$1
shift
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) || {
  echo "skipped: no compute-sanitizer on the PATH or in /usr/local/cuda/bin"
  exit 77
}
listed=$("$@" --gtest_list_tests) || { code=$?; echo "$listed"; exit "$code"; }
exec "$sanitizer" --tool "$tool" --target-processes all --error-exitcode 1 --print-limit 20 "$@"
