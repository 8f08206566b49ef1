#!/usr/bin/env bash
# What an image of thinkrec holds beyond Debian 12: packages, libtorch, and the programs, built where the repository lies. As root. The
# Dockerfile, thinkrec.def and tests/containers/debian_test.sh run this and nothing else.
#   launch/containers/install.sh [CMAKE OPTION...]      e.g. -DTHINKREC_ARCH=x86-64-v4; default x86-64-v3: AVX2, any server since 2015
set -euo pipefail
cd "$(dirname "$0")/../.."
./launch/setup.sh
cmake --fresh --preset release -DTHINKREC_TESTS=OFF -DTHINKREC_ARCH=x86-64-v3 "$@" >/dev/null
cmake --build --preset release -- --quiet
for program in build/release/thinkrec_*; do
  if [ -x "$program" ] && [ -f "$program" ]; then ln -sf "$PWD/$program" /usr/local/bin/; fi
done
# Not needed to run: objects, packages as downloaded.
find build/release \( -name '*.o' -o -name '*.a' -o -name '*.gch' \) -delete
rm -rf /var/lib/apt/lists/* "${CCACHE_DIR:-$HOME/.cache/ccache}"
thinkrec_inspect --environment
