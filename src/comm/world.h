#pragma once
// The lifetime of MPI in a program: one World in main, before anything else.

#include <memory>

#include "comm/collectives.h"
#include "core/error.h"

namespace thinkrec {

/// Starts MPI when the process was launched by mpirun or srun (their environment says so), else stays a world of one without
/// ever loading MPI state. Error(kUsage) for one of several tasks of an srun without PMI, which would each take itself for the whole
/// job. Destructor finalises, unless an exception passes: then the process leaves MPI without a word, and the launcher ends the others.
/// After an exception on one rank call abort(), so that the others do not wait.
class World {
 public:
  World(int argc, char** argv);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Collectives& all() { return *all_; }
  /// Called on every rank that met an error, before it says so and ends the job. Waits, the first time: rank 0 says what all
  /// ranks meet, and a rank that fails says why before others say that it is lost (kPeerLost).
  void let_cause_speak(ExitCode code);
  /// Ends every rank of the job with this exit code.
  [[noreturn]] void abort(int code);

 private:
  bool mpi_ = false, waited_ = false;
  std::unique_ptr<Collectives> all_;
};

}  // namespace thinkrec
