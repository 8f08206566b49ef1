#pragma once
// The main of programs that run on one rank or many: one error line, and no rank left waiting for one that is gone.

#include <cstdio>
#include <memory>

#include "comm/world.h"
#include "core/error.h"
#include "core/run_program.h"

namespace thinkrec {

/// Runs body(world), which makes the world when it has read its command line.
template <class Body>
int run_ranked_program(const char* name, const Body& body) {
  std::unique_ptr<World> world;
  const int code = run_program(name, [&] {
    try {
      return body(world);
    } catch (const Error& error) {
      if (world) world->let_cause_speak(error.code());
      throw;
    } catch (...) {
      if (world) world->let_cause_speak(ExitCode::kInternal);
      throw;
    }
  });
  if (code != 0 && code != static_cast<int>(ExitCode::kStopped) && world) {  // all ranks agree on a stop
    std::fflush(nullptr);
    world->abort(code);
  }
  return code;
}

}  // namespace thinkrec
