#!/usr/bin/env bash
# Writes docs/options.md from the option tables of the programs.
#   launch/docs.sh [BUILD]      default build/release; built first if it is configured
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
[ -e "$build/CMakeCache.txt" ] || { echo "docs: $build is no build folder: run launch/setup.sh and cmake --preset release, or name another" >&2; exit 66; }
cmake --build "$build" --target program_thinkrec_documents
"$build/thinkrec_documents" --markdown docs/options.md
echo "wrote docs/options.md"
