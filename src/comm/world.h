#pragma once
// The lifetime of MPI in a program: one World in main, before anything else.

#include <memory>

#include "comm/collectives.h"

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
  /// Called on every rank that met an error: where all ranks meet the same one, rank 0 says it and ends the job before the others speak.
  void let_leader_speak();
  /// Ends every rank of the job with this exit code.
  [[noreturn]] void abort(int code);

 private:
  bool mpi_ = false;
  std::unique_ptr<Collectives> all_;
};

}  // namespace thinkrec
