#!/usr/bin/env python3
"""thinkrec_inspect --environment: its text, its JSON, and the command lines that it refuses.

  inspect_test.py BUILD
"""
import json
import os
import subprocess
import sys
import tempfile


def run(inspect, *arguments, code=0, before=""):
    command = ["bash", "-c", f'{before} exec "$0" "$@"', inspect, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done


def main():
    inspect = os.path.join(sys.argv[1], "thinkrec_inspect")
    text = run(inspect, "--environment").stdout
    for part in ("versions\n", "\nmachine\n", "\ngpus\n", "\nsettings\n", "\nfolder\n", "\nself test\n"):
        assert part in text, f"'{part}' is missing from\n{text}"
    report = json.loads(run(inspect, "--environment", "--json", before="OMP_NUM_THREADS=2").stdout)
    assert report["settings"]["omp_max_threads"] == 2 and report["settings"]["OMP_NUM_THREADS"] == "2", report["settings"]
    assert report["self_test"]["mpi"]["ok"] is True, report["self_test"]
    assert "--environment only" in run(inspect, "--json", code=64).stderr
    assert "goes alone" in run(inspect, "--environment", "file.h5", code=64).stderr
    assert "goes alone" in run(inspect, "--environment", "--encode", code=64).stderr
    assert "did you mean --environment?" in run(inspect, "--enviroment", code=64).stderr
    with tempfile.TemporaryDirectory() as folder:
        for size in (0, 3, 5 << 30):  # of a large file only the first bytes are read
            path = os.path.join(folder, "unknown")
            with open(path, "wb") as file:
                file.truncate(size)
            assert "not a file that thinkrec knows" in run(inspect, path, code=65).stderr
        assert "not a regular file" in run(inspect, folder, code=66).stderr
    if "ASAN_OPTIONS" not in os.environ:  # UBSan needs descriptors of its own
        # Without a free descriptor no part can be tested: the report comes all the same.
        failed = run(inspect, "--environment", code=70, before="ulimit -n 4;")
        assert "self-test failed in matmul, mpi, hdf5" in failed.stderr, failed.stderr
        assert "FAILED  no pipe: Too many open files" in failed.stdout, failed.stdout
    if os.path.exists("/dev/full"):
        assert "cannot be written" in run(inspect, "--environment", code=74, before="exec >/dev/full;").stderr
    print("inspect: environment reported, in text and JSON")


if __name__ == "__main__":
    main()
