#!/usr/bin/env bash
# Sets up, builds and runs the tests, all but those labelled slow or gpu.
#   launch/test.sh [CTEST ARGUMENT...]     for example: launch/test.sh -L fast
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
./launch/setup.sh --oracles
echo "test: set-up took $((SECONDS - start)) s"
start=$SECONDS
cmake --preset release -DTHINKREC_TESTS=ON >/dev/null
cmake --build --preset release -- --quiet
echo "test: build took $((SECONDS - start)) s"

if [ -z "${THINKREC_DATA:-}" ] && [ -d ../shared/data/ml1m ]; then
  THINKREC_DATA=$(cd ../shared/data && pwd)
  export THINKREC_DATA
fi
log=build/release/Testing/output.log
mkdir -p "$(dirname "$log")"
status=0
ctest --test-dir build/release --output-on-failure --no-tests=error -j2 -LE 'slow|gpu' "$@" --output-log "$log" || status=$?
# Where the data is at hand, a test that skips for want of it is a failure.
if [ -n "${THINKREC_DATA:-}" ] && grep -q 'THINKREC_DATA.*\(unset\|not set\|skip\)' build/release/Testing/Temporary/LastTest.log 2>/dev/null; then
  echo "test: a MovieLens-1M test skipped although THINKREC_DATA is set:" >&2
  grep -n 'THINKREC_DATA.*\(unset\|not set\|skip\)' build/release/Testing/Temporary/LastTest.log >&2
  status=1
fi
exit $status
