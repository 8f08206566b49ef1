// thinkrec_check: walks files of unknown origin, each in a process of its own, so that the other programs can open them.

#include <cstdio>

#include "core/command_line.h"
#include "core/error.h"
#include "data/guard.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {
    "thinkrec_check",
    "Reads each file once within bounds of time and memory, and says whether that went well; 0: all are fine, 65 or 66: one is not.",
    "thinkrec_check FILE...", "FILE"};

OptionTable options() {
  return {{"seconds", OptionType::kInteger, "10", "[1, 3600]", "s", "for a file; more for one above 128 MiB"}};
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_check", [&] {
    const CommandLine line(kProgram, options(), argc, argv);
    if (line.finished()) return 0;
    if (line.positional().empty()) fail(ExitCode::kUsage, "give the files to look at");
    ExitCode worst = ExitCode::kOk;
    for (const std::string& path : line.positional()) {
      const GuardVerdict verdict = walk_forked(path, static_cast<unsigned>(line.integer("seconds")));
      std::printf("%s\n", verdict.line.c_str());
      std::fflush(stdout);
      if (worst == ExitCode::kOk) worst = verdict.code;
    }
    return static_cast<int>(worst);
  });
}
