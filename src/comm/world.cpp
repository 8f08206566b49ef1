#include "comm/world.h"

#include <mpi.h>
#include <unistd.h>

#include <cstdlib>

#include "comm/mpi_collectives.h"
#include "core/error.h"

namespace thinkrec {
namespace {

/// mpirun and srun tell their children through the environment; without a launcher MPI is not started at all.
bool launched_in_parallel() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

}  // namespace

World::World(int argc, char** argv) : mpi_(launched_in_parallel()) {
  if (!mpi_) {
    all_ = make_solo_collectives();
    return;
  }
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
    fail(ExitCode::kInternal, "MPI cannot be started with thread support; check the MPI installation");
  }
  all_ = make_mpi_collectives(MPI_COMM_WORLD);
}

World::~World() {
  all_.reset();
  if (mpi_) MPI_Finalize();
}

void World::abort(int code) {
  if (mpi_ && all_->size() > 1) MPI_Abort(MPI_COMM_WORLD, code);
  _exit(code);
}

}  // namespace thinkrec
