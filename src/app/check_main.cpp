// thinkrec_check: walks files of unknown origin, each in a process of its own, so that the other programs can open them.

#include <cstdio>

#include "app/programs.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/run_program.h"
#include "data/guard.h"

using namespace thinkrec;

int main(int argc, char** argv) {
  return run_program("thinkrec_check", [&] {
    const CommandLine line = read_command_line(check_program(), argc, argv);
    if (line.finished()) return 0;
    if (line.positional().empty()) fail(ExitCode::kUsage, "give the files to look at");
    ExitCode worst = ExitCode::kOk;
    for (const std::string& path : line.positional()) {
      const GuardVerdict verdict = walk_forked(path, static_cast<unsigned>(line.integer("seconds")));
      std::printf("%s\n", verdict.line.c_str());
      flush_output();
      if (worst == ExitCode::kOk) worst = verdict.code;
    }
    return static_cast<int>(worst);
  });
}
