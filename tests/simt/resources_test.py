#!/usr/bin/env python3
"""The resource gate's own branches, on ptxas's words as they are; no nvcc is needed."""

import pathlib
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import resources  # noqa: E402

PTXAS = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5scalePf' for 'sm_90'
ptxas info    : Function properties for _Z5scalePf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compiling entry function '_ZN14_GLOBAL__N__1a4spinIfEEvPT_' for 'sm_90'
ptxas info    : Function properties for _ZN14_GLOBAL__N__1a4spinIfEEvPT_
    24 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""
PTX = ".visible .entry _Z5scalePf(\n.param .u64 p\n)\n.maxntid 16, 8, 2\n.minnctapersm 1\n{ ret; }\n.visible .entry _Z1fv()\n{ }"
ROW = {"registers_max": 32, "shared_max": 1024, "threads": 256, "occupancy": 1.0}
USE = {"registers": 32, "shared": 1024, "threads": 256, "spills": 0}


class ResourcesTest(unittest.TestCase):
    def test_reads_ptxas(self):
        kernels = resources.parse_ptxas(PTXAS)
        self.assertEqual(kernels["_Z5scalePf"], {"registers": 32, "shared": 1024, "spills": 0})
        self.assertEqual(kernels["_ZN14_GLOBAL__N__1a4spinIfEEvPT_"], {"registers": 255, "shared": 0, "spills": 24})
        self.assertEqual(resources.parse_bounds(PTX), {"_Z5scalePf": 256})
        self.assertEqual(sorted(resources.demangled(kernels).values()), ["scale", "spin<float>"])

    def test_compares(self):
        self.assertEqual(resources.compare({"k": USE}, {"k": ROW}), [])
        self.assertEqual(resources.compare({"k": USE | {"registers": 31}}, {"k": ROW}), [])
        cases = [
            (USE | {"registers": 33}, "k: registers 33, the table allows 32"),
            (USE | {"shared": 1028}, "k: shared 1028, the table allows 1024"),
            (USE | {"threads": 128}, "k: blocks of 128 threads, the table says 256"),
            (USE | {"spills": 4}, "k: spills 4 bytes"),
        ]
        for use, said in cases:
            self.assertEqual(resources.compare({"k": use}, {"k": ROW}), [said])
        self.assertEqual(resources.compare({"k": USE}, {}), ["k: not in the table"])
        self.assertEqual(resources.compare({}, {"k": ROW}), ["k: in the table, but there is no such kernel"])

    def test_occupancy(self):
        self.assertEqual(resources.occupancy(32, 0, 256), 1.0)
        self.assertEqual(resources.occupancy(33, 0, 256), 0.75)  # 40 registers a thread, 6 blocks
        self.assertEqual(resources.occupancy(255, 0, 256), 0.125)
        self.assertEqual(resources.occupancy(32, 100 * 1024, 256), 0.25)
        self.assertEqual(resources.occupancy(16, 0, 32), 0.5)  # 32 blocks at most

    def test_writing_keeps_dynamic_shared_and_takes_the_worst(self):
        found = resources.worst([{"k": USE}, {"k": USE | {"registers": 40}}])
        table = resources.table_of(found, {"k": ROW | {"dynamic_shared": 100 * 1024}})
        self.assertEqual(table["k"]["registers_max"], 40)
        self.assertEqual(table["k"]["occupancy"], 0.25)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "table.json")
            resources.write_table(path, table)
            self.assertEqual(resources.json.loads(path.read_text()), table)

    def test_without_nvcc_it_is_skipped(self):
        with unittest.mock.patch.object(resources, "nvcc_path", return_value=None), unittest.mock.patch("builtins.print") as said:
            self.assertEqual(resources.main([]), 77)
        self.assertIn("no nvcc", said.call_args.args[0])


if __name__ == "__main__":
    unittest.main()
