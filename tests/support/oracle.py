"""What the oracle tests share: they run themselves again in the environment that launch/setup.sh --oracles made."""
import os
import sys

SKIP = 77


def enter(deps, torch=True):
    """Goes on only inside <deps>/oracles; leaves with code 77, which ctest counts as skipped, where it is not there."""
    python = os.path.join(deps, "oracles", "bin", "python")
    needed = os.path.join(deps, "oracles", ".torch") if torch else python
    if not (os.path.exists(python) and os.path.exists(needed)):
        print(f"skipped: no usable Python environment at {deps}/oracles; launch/setup.sh --oracles makes it")
        sys.exit(SKIP)
    if os.environ.get("THINKREC_IN_ORACLES") != python:
        os.environ["THINKREC_IN_ORACLES"] = python
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.execv(python, [python, *sys.argv])
