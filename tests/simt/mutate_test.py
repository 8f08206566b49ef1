#!/usr/bin/env python3
"""The mutation gate itself: a planted kernel whose barrier is needed passes it, one whose second barrier is not needed fails it."""

import contextlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
import mutate  # noqa: E402

KERNEL = """
#include "kernels/cuda/device.h"
// A comment with i < n and __syncthreads(); is no code.
THINKREC_KERNEL(64) void reverse(const float* in, float* out, int n) {
  THINKREC_SHARED(float, tile, 64);
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) tile[i] = in[i];
  __syncthreads();
  if (i >= n) return;
  out[i] = tile[n - 1 - i];@HERE@
}
void run(const float* in, float* out, int n) {
  if (n >= 1) THINKREC_LAUNCH(reverse, 1, 64, 0, nullptr, in, out, n);
}
"""
TEST = """
#include <cstdio>
#include "simt/simt.h"
void run(const float* in, float* out, int n);
int main() try {
  const auto in = simt::guarded(std::vector<float>{1, 2, 3, 4, 5});
  auto out = simt::guarded<float>(5);
  run(in.data(), out.data(), 5);
  for (int i = 0; i < 5; ++i) {
    if (out[i] != @FIRST@ - i) return 1;
  }
} catch (const simt::Fault& fault) {
  std::puts(fault.what());
  return 1;
}
"""


class MutateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = cls.folder.name
        cls.flags = f"g++ -std=c++20 -O0 -fsanitize=address -DTHINKREC_SIMT -I{{tree}} -I{ROOT} -I{ROOT}/tests"
        command = cls.flags.format(tree=folder)
        pathlib.Path(folder, "test.cpp").write_text(TEST.replace("@FIRST@", "5.0f"))
        pathlib.Path(folder, "wrong.cpp").write_text(TEST.replace("@FIRST@", "7.0f"))
        emulator = [path for path in sorted(HERE.glob("*.cpp")) if not path.name.endswith("_test.cpp")]
        pathlib.Path(folder, "simt.cpp").write_text("".join(f'#include "{path}"\n' for path in emulator))  # in one go: seconds less
        subprocess.run(f"{command} -c {folder}/simt.cpp -o {folder}/simt.o", shell=True, check=True)
        for name in ("test", "wrong"):
            subprocess.run(f"{command} -c {folder}/{name}.cpp -o {folder}/{name}.o", shell=True, check=True)
        os.chdir(folder)

    @classmethod
    def tearDownClass(cls):
        os.chdir(HERE)
        cls.folder.cleanup()

    def gate(self, kernel, *args, test="test"):
        pathlib.Path("reverse.cu").write_text(kernel)
        out = io.StringIO()
        compile_command = f"{self.flags} -x c++ {{source}} -x none {test}.o simt.o -lboost_context -lfmt -o {{output}}"
        with contextlib.redirect_stdout(out):
            status = mutate.main(["--mutate", "reverse.cu", "--compile", compile_command, *args])
        return status, out.getvalue()

    def test_a_needed_barrier_and_exact_bounds_pass(self):
        status, out = self.gate(KERNEL.replace("@HERE@", ""))
        self.assertEqual(status, 0, out)
        self.assertIn("3 of 3 mutants killed", out)
        self.assertRegex(out, r"reverse.cu:8: delete __syncthreads\(\);: .*\n    killed by simt: kernel reverse")

    def test_a_barrier_that_is_not_needed_survives(self):
        status, out = self.gate(KERNEL.replace("if (i >= n) return;", "__syncthreads();  if (i >= n) return;").replace("@HERE@", ""))
        self.assertEqual(status, 1, out)
        self.assertIn("SURVIVED", out)
        self.assertIn("reverse.cu:8: delete __syncthreads();", out)

    def test_a_mark_exempts_its_line_and_only_a_line_with_a_mutant(self):
        extra = "  __syncwarp(1);"
        kernel = KERNEL.replace("@HERE@", f"\n  if (i == 0) {extra.strip()}  // mutate: equivalent, because one lane is alone")
        status, out = self.gate(kernel)
        self.assertEqual(status, 0, out)
        status, out = self.gate(kernel.replace(extra.strip(), "out[0] += 0;"), "--list")
        self.assertEqual(status, 2, out)
        self.assertIn("nothing to mutate here", out)
        status, out = self.gate(kernel.replace("equivalent, because one lane is alone", "fine"), "--list")
        self.assertEqual(status, 2, out)
        self.assertIn("say `// mutate: equivalent", out)

    def test_a_test_that_fails_by_itself_is_no_gate(self):
        status, out = self.gate(KERNEL.replace("@HERE@", ""), test="wrong")
        self.assertEqual(status, 2, out)
        self.assertIn("fails without a mutation", out)

    def test_a_file_without_kernels_is_no_gate(self):
        status, out = self.gate(KERNEL.replace("@HERE@", "").replace("THINKREC_KERNEL(64)", "__global__"))
        self.assertEqual(status, 2, out)
        self.assertIn("there is nothing to mutate", out)

    def test_a_hash_chooses_some_mutants(self):
        status, out = self.gate(KERNEL.replace("@HERE@", ""), "--list", "--only", "9", "ff")
        self.assertEqual((status, out.count("reverse.cu:")), (0, 1 + 3), out)
        lists = {self.gate(KERNEL.replace("@HERE@", ""), "--list", "--only", "2", commit)[1] for commit in "0123456789"}
        self.assertEqual(len(lists), 3, lists)
        self.assertEqual({out.count("reverse.cu:") for out in lists}, {1 + 2}, lists)


if __name__ == "__main__":
    if shutil.which("g++") is None:
        print("no g++ to compile mutants with")
        sys.exit(77)
    unittest.main()
