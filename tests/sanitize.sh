#!/usr/bin/env bash
# Builds with sanitizers and runs the tests under them; fails at any report.
#   tests/sanitize.sh asan     clang-19: AddressSanitizer, UBSan, float-cast-overflow and implicit-conversion over the libraries without
#                              libtorch, and one kernel broken on purpose; builds the fuzz targets as well; in CI
#   tests/sanitize.sh tsan     clang-19: ThreadSanitizer over what has threads (label threads): read-ahead, checkpoint writer, logs, watchdog,
#                              server, status; in CI
#   tests/sanitize.sh all [-R ...]   g++: AddressSanitizer and UBSan over everything, libtorch's users too: hours on two cores
#   tests/sanitize.sh fast [-R ...]  of that the label fast
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?see the head of tests/sanitize.sh}
shift
jobs=${JOBS:-2}
export UBSAN_OPTIONS=print_stacktrace=1
# No detect_stack_use_after_return: g++ 12 aligns its stand-in stack to less than a vector of 64 bytes needs.
asan=strict_string_checks=1

build() { # PRESET [TARGET]
  cmake --preset "$1" >/dev/null && cmake --build --preset "$1" --target "${2:-all}" -j "$jobs" -- --quiet
}
run() { # PRESET ctest's arguments
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$jobs" "$@"
}
with_leaks() {
  LSAN_OPTIONS=suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0 ASAN_OPTIONS=$asan:detect_leaks=1 run "$@"
}
# Open MPI keeps memory until the process ends.
without_leaks() { ASAN_OPTIONS=$asan:detect_leaks=0 run "$@"; }

failed=0
case $what in
  asan)
    build asan
    with_leaks asan -L fast -LE 'mpi|scripts' || failed=$?
    without_leaks asan -L fast -L mpi || failed=$?
    # Three barriers and bounds of one kernel, chosen by the commit, are broken in turn (`ctest --test-dir build/asan -L slow`: all of all).
    mapfile -t kernels < <(ctest --test-dir build/asan -N -R '^mutation_' | sed -n 's/.*: \(mutation_[a-z_]*\)$/\1/p')
    commit=$(git rev-parse HEAD)
    one=${kernels[$((16#${commit:0:6} % ${#kernels[@]}))]}
    THINKREC_MUTANTS="3 $commit" ctest --test-dir build/asan --output-on-failure --no-tests=error -R "^$one\$" || failed=$?
    ;;
  tsan)
    build tsan tests_of_threads
    run tsan -L threads || failed=$?
    ;;
  all | fast)
    build asan-all
    labels=(-LE 'slow|gpu|mpi|scripts')
    [ "$what" = all ] || labels=(-L fast -LE 'mpi|gpu|scripts')
    with_leaks asan-all "${labels[@]}" "$@" || failed=$?
    labels=(-L mpi -LE 'slow|gpu')
    [ "$what" = all ] || labels=(-L fast -L mpi)
    without_leaks asan-all "${labels[@]}" "$@" || failed=$?
    ;;
  *)
    echo "sanitize: '$what' is not known; see the head of tests/sanitize.sh" >&2
    exit 64
    ;;
esac
exit "$failed"
