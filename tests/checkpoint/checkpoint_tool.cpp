// Saves and loads checkpoints whose values follow from their step, for the tests that kill it or let the disk fail.
//   checkpoint_tool save FOLDER STEP KEEP     exit code as the programs; "saved STEP" when it is done
//   checkpoint_tool loop FOLDER FIRST KEEP    saves FIRST, FIRST + 1, ..., "saved N" after each
//   checkpoint_tool load FOLDER               "step N" or "none"; 1 when the values are not those of the step
//   checkpoint_tool clean FOLDER

#include <cstdio>
#include <cstdlib>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "core/run_program.h"

namespace {

using namespace thinkrec;

Checkpoint made(std::int64_t step) {
  Checkpoint checkpoint{step, {{"best", static_cast<double>(step) / 7}}, {}};
  for (int t = 0; t < 3; ++t) {
    std::vector<float> values(static_cast<std::size_t>(2000 + 500 * t));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(step * 31 + t) + static_cast<float>(i) / 64;
    checkpoint.tensors.push_back({"now/" + std::to_string(t), {static_cast<std::int64_t>(values.size())}, std::move(values)});
  }
  return checkpoint;
}

bool same(const Checkpoint& a, const Checkpoint& b) {
  if (a.step != b.step || a.facts != b.facts || a.tensors.size() != b.tensors.size()) return false;
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    if (a.tensors[i].name != b.tensors[i].name || a.tensors[i].shape != b.tensors[i].shape ||
        a.tensors[i].values != b.tensors[i].values)
      return false;
  }
  return true;
}

int run(const std::string& what, const std::string& folder, std::int64_t step, int keep) {
  const CheckpointStore store(folder, {{"recipe", "aa"}}, keep);
  if (what == "clean") {
    store.clean();
  } else if (what == "load") {
    const auto found = store.load_latest();
    if (found && !same(*found, made(found->step))) return 1;
    std::puts(found ? ("step " + std::to_string(found->step)).c_str() : "none");
  } else {
    do {
      store.save(made(step));
      std::printf("saved %ld\n", static_cast<long>(step++));
      std::fflush(stdout);
    } while (what == "loop");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("checkpoint_tool", [&] {
    if (argc < 3) fail(ExitCode::kUsage, "see the head of checkpoint_tool.cpp");
    return run(argv[1], argv[2], argc > 3 ? std::atol(argv[3]) : 0, argc > 4 ? std::atoi(argv[4]) : 1);
  });
}
