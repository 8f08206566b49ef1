#!/usr/bin/env bash
# oracle.sh SCRIPT [ARGUMENT...]: runs a Python script with the interpreter that has the oracle packages: $THINKREC_ORACLE_PYTHON, the one that
# launch/setup.sh --oracles made, or python3.
root=$(cd "$(dirname "$0")/.." && pwd)
python=${THINKREC_ORACLE_PYTHON:-$root/.deps/oracles/bin/python}
[ -x "$python" ] || python=python3
exec "$python" "$@"
