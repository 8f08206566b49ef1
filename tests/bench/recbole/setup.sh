#!/usr/bin/env bash
# An environment of its own for RecBole 1.2.1, over the torch that launch/setup.sh has unpacked (on which thinkrec runs as well).
#   tests/bench/recbole/setup.sh FOLDER      THINKREC_DEPS: where .deps is, if not in this tree
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "setup: usage: $0 FOLDER" >&2; exit 64; }
deps=$(cd "${THINKREC_DEPS:-$here/../../../.deps}" 2>/dev/null && pwd) || {
  echo "setup: no .deps in this tree: run launch/setup.sh first, or set THINKREC_DEPS" >&2
  exit 66
}
python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "setup: python3 is not 3.11, for which the torch wheel is built" >&2; exit 69; }
python3 -m venv "$1"
"$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --requirement "$here/requirements.txt"
echo "$deps/python" >"$1/lib/python3.11/site-packages/thinkrec_torch.pth"
"$1/bin/python" -c 'import torch, recbole'
