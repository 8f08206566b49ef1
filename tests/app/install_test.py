#!/usr/bin/env python3
"""cmake --install: the programs run from where they were put, with all libraries, and their manual pages and completions are beside them.

  install_test.py BUILD SOURCE
"""
import os
import pathlib
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["cmake", "--install", BUILD, "--prefix", name], check=True, stdout=subprocess.DEVNULL)
        programs = sorted(path.name for path in (folder / "bin").iterdir())
        built = sorted(path for path in os.listdir(BUILD) if path.startswith("thinkrec_") and os.access(f"{BUILD}/{path}", os.X_OK)
                       and os.path.isfile(f"{BUILD}/{path}") and path != "thinkrec_documents")
        assert programs == built and "thinkrec_prepare" in programs, (programs, built)
        bare = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        torch = [path for path in programs if "libtorch" in subprocess.run(["ldd", f"{BUILD}/{path}"], capture_output=True, text=True).stdout]
        for program in programs:
            path = f"{name}/bin/{program}"
            found = subprocess.run(["ldd", path], capture_output=True, text=True, env=bare).stdout
            assert "not found" not in found, (program, found)
            if program in torch:
                paths = subprocess.run(["readelf", "-d", path], capture_output=True, text=True).stdout
                assert "/torch/lib" in paths and "/nvidia/cu13/lib" in paths, paths
            if program == "thinkrec_train_stages":  # what thinkrec_train becomes, for nobody to call
                continue
            assert (folder / "share/man/man1" / f"{program}.1").exists(), program
            assert (folder / "share/bash-completion/completions" / program).exists(), program
        for program in ("thinkrec_prepare", *torch[-1:]):
            said = subprocess.run([f"{name}/bin/{program}", "--version"], capture_output=True, text=True, env=bare, check=True).stdout
            assert said.startswith(program + " "), said
    print(f"install: {len(programs)} programs")


if __name__ == "__main__":
    main()
