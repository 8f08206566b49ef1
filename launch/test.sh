#!/usr/bin/env bash
# Sets up, builds and runs the tests. ctest's summary comes last.
#   launch/test.sh                     all tests but those labelled slow or gpu
#   launch/test.sh --all               those too (a gpu test skips where there is no GPU)
#   launch/test.sh [--all] -L fast     what follows goes to ctest
# THINKREC_DATA names the folder that holds ml1m/. A test that skips for want of what the set-up installs, or of that data where it is named,
# is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
labels=(-LE 'slow|gpu')
if [ "${1:-}" = --all ]; then
  labels=()
  shift
fi

start=$SECONDS
./launch/setup.sh --oracles
echo "test: set-up took $((SECONDS - start)) s"
start=$SECONDS
cmake --preset release -DTHINKREC_TESTS=ON >/dev/null
cmake --build --preset release -j "$(nproc)" -- --quiet  # Ninja's one job more costs a sixth
echo "test: build took $((SECONDS - start)) s"

if [ -z "${THINKREC_DATA:-}" ] && [ -d ../shared/data/ml1m ]; then
  THINKREC_DATA=$(cd ../shared/data && pwd)
  export THINKREC_DATA
fi
if [ -z "${THINKREC_DATA:-}" ]; then
  echo "test: THINKREC_DATA is not set: tests on MovieLens-1M will skip"
fi

status=0
ctest --test-dir build/release --output-on-failure --no-tests=error -j2 "${labels[@]}" "$@" || status=$?
torch=(--no-torch)
[ ! -e .deps/oracles/.torch ] || torch=() # else set-up has said that no Python here loads it
if ! skipped=$(python3 tests/structure/skipped_tests.py build/release/Testing/Temporary/LastTest.log ${THINKREC_DATA:+--data} "${torch[@]}"); then
  printf 'test: these skipped for want of what the set-up, or THINKREC_DATA, should have given:\n%s\n' "$skipped" >&2
  [ "$status" -ne 0 ] || status=1
fi
exit "$status"
