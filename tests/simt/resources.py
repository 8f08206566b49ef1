#!/usr/bin/env python3
"""Resource gate for the kernels: what ptxas gives each of them, against the table committed beside this file.

Compiles kernels/cuda/*.cu with nvcc's warnings as errors and fails on any spill, on more registers or static shared memory than the
table allows, on another block size, on a kernel that the table lacks and on one that is gone. resources.json holds for each kernel
  registers_max, shared_max   the most over the architectures that --write was given
  threads                     the bound of its THINKREC_KERNEL
  occupancy                   resident threads of an SM of 65536 registers, 228 KiB of shared memory, 2048 threads and 32 blocks
  dynamic_shared              optional, by hand and kept by --write: the dynamic bytes its launches ask for, counted in occupancy

  resources.py [--archs 80 90 100 120] [--write] [FILE.cu ...]

Limits: the SM is that of sm_90 and sm_100; sm_80 and sm_120 have less shared memory (164 and 100 KiB), sm_120 1536 threads.
Exit status: 0 as in the table, 1 not, 77 without nvcc.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = HERE / "resources.json"
KIB = 1024


def nvcc_path():
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("nvcc") or shutil.which(f"{home}/bin/nvcc")


def demangled(names):
    """Readable names; nvcc's own name of an unnamed namespace holds a hash of the file, which changes."""
    names = list(names)
    if not names:
        return {}
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
    tidy = lambda name: re.sub(r"_GLOBAL__N__\w+", "(anonymous namespace)", name).removeprefix("void ").split("(anonymous namespace)::")
    return {raw: strip_parameters("".join(tidy(name))) for raw, name in zip(names, out)}


def strip_parameters(name):
    """`a::f<int>(float*, long)` without its parameter list, which says nothing that the name does not."""
    return name[: name.index("(")] if "(" in name else name


def parse_ptxas(text):
    """{mangled kernel: {registers, shared, spills}}; the spills of functions that were not inlined stand under their own names."""
    out, current, function = {}, None, None
    for line in text.split("\n"):
        if match := re.search(r"Compiling entry function '(\S+)'", line):
            current = match.group(1)
            out[current] = {"registers": 0, "shared": 0, "spills": 0}
        elif match := re.search(r"Function properties for '?([^\s']+)", line):
            function = match.group(1)
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills = int(match.group(1)) + int(match.group(2))
            if function in out:
                out[function]["spills"] = spills
            elif spills:
                out[function] = {"registers": 0, "shared": 0, "spills": spills}
        elif match := re.search(r"Used (\d+) registers", line):
            smem = re.search(r"(\d+) bytes smem", line)
            if current is not None:
                out[current]["registers"] = int(match.group(1))
                out[current]["shared"] = int(smem.group(1)) if smem else 0
    return out


def parse_bounds(ptx):
    """{mangled kernel: threads} from the .maxntid of each entry."""
    found = re.findall(r"\.entry\s+(\S+?)\((.*?)\{", ptx, flags=re.S)
    bounds = {}
    for name, head in found:
        match = re.search(r"\.maxntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?", head)
        if match:
            bounds[name] = int(match.group(1)) * int(match.group(2) or 1) * int(match.group(3) or 1)
    return bounds


def occupancy(registers, shared, threads):
    """The share of an SM's 2048 threads that are resident with as many blocks as fit."""
    warps = -(-threads // 32)
    per_warp = -(-max(registers, 1) * 32 // 256) * 256
    per_block = -(-(shared + KIB) // 128) * 128  # a KiB of each block is CUDA's
    blocks = min(32, 2048 // (warps * 32), 65536 // (per_warp * warps), 228 * KIB // per_block)
    return round(blocks * threads / 2048, 4)


def measure(nvcc, source, arch, standard):
    """{kernel: {registers, shared, spills, threads}} of one file on one architecture."""
    with tempfile.TemporaryDirectory(prefix="resources-") as folder:
        command = [nvcc, "-cubin", f"-arch=sm_{arch}", "-O3", "-Xptxas", "-v", "-Werror", "all-warnings", f"-std={standard}"]
        command += [f"-I{ROOT}", f"-I{ROOT}/src", "--keep", "--keep-dir", folder, "-o", f"{folder}/out.cubin", str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        bounds = {}
        for ptx in pathlib.Path(folder).glob("*.ptx"):
            bounds |= parse_bounds(ptx.read_text())
        kernels = parse_ptxas(done.stdout + done.stderr)
    names = demangled(kernels)
    return {f"{source.name}: {names[raw]}": use | {"threads": bounds.get(raw, 1024)} for raw, use in kernels.items()}


def worst(measured):
    """The most of each number over the architectures."""
    out = {}
    for kernels in measured:
        for name, use in kernels.items():
            out[name] = {key: max(value, out.get(name, {}).get(key, 0)) for key, value in use.items()}
    return out


def compare(found, table):
    """What is wrong, one line each."""
    wrong = []
    for name, use in sorted(found.items()):
        if use["spills"]:
            wrong.append(f"{name}: spills {use['spills']} bytes")
        allowed = table.get(name)
        if allowed is None:
            wrong.append(f"{name}: not in the table")
            continue
        for key in ("registers", "shared"):
            if use[key] > allowed[f"{key}_max"]:
                wrong.append(f"{name}: {key} {use[key]}, the table allows {allowed[f'{key}_max']}")
        if use["threads"] != allowed["threads"]:
            wrong.append(f"{name}: blocks of {use['threads']} threads, the table says {allowed['threads']}")
    wrong += [f"{name}: in the table, but there is no such kernel" for name in sorted(table.keys() - found.keys())]
    return wrong


def table_of(found, old):
    """The table for what was found; the hand-written dynamic_shared stays."""
    table = {}
    for name, use in sorted(found.items()):
        dynamic = old.get(name, {}).get("dynamic_shared")
        row = {"registers_max": use["registers"], "shared_max": use["shared"], "threads": use["threads"]}
        row["occupancy"] = occupancy(use["registers"], use["shared"] + (dynamic or 0), use["threads"])
        table[name] = row | ({} if dynamic is None else {"dynamic_shared": dynamic})
    return table


def write_table(path, table):
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
    path.write_text(f"{{\n{rows}\n}}\n")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="*", type=pathlib.Path, default=sorted(ROOT.glob("kernels/cuda/*.cu")))
    parser.add_argument("--archs", nargs="+", default=["90"])
    parser.add_argument("--std", default="c++20")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", type=pathlib.Path, default=TABLE)
    parser.add_argument("--write", action="store_true", help="rewrite the table")
    args = parser.parse_args(argv)
    nvcc = nvcc_path()
    if nvcc is None:
        print("skipped: there is no nvcc on PATH or under CUDA_HOME")
        return 77

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        work = [(source, arch) for arch in args.archs for source in args.sources]
        found = worst(pool.map(lambda item: measure(nvcc, *item, args.std), work))
    old = json.loads(args.table.read_text()) if args.table.exists() else {}
    if args.write:
        table = table_of(found, old)
        write_table(args.table, table)
        old = table
    for name, use in sorted(found.items()):
        shared = use["shared"] + old.get(name, {}).get("dynamic_shared", 0)
        print(f"{name}: {use['registers']} registers, {shared} bytes shared, {use['threads']} threads, "
              f"occupancy {occupancy(use['registers'], shared, use['threads']):.2f}")
    wrong = compare(found, old)
    print("".join(f"FAILED {line}\n" for line in wrong), end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
