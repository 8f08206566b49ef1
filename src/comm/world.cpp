#include "comm/world.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <thread>
#include <utility>

#include "comm/mpi_collectives.h"
#include "core/error.h"

namespace thinkrec {
namespace {

/// mpirun and srun tell their children through the environment; without a launcher MPI is not started at all.
bool launched_in_parallel() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && std::string_view(tasks) != "1" && std::getenv("SLURM_PROCID") != nullptr) {
    fail(ExitCode::kUsage, "srun started {} tasks that do not know of each other: use srun --mpi=pmix, or mpirun", tasks);
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
  // Calls that have no communicator of ours report to this one.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  all_ = make_mpi_collectives(MPI_COMM_WORLD);
}

World::~World() {
  const bool orderly = std::uncaught_exceptions() == 0;  // MPI_Finalize waits for all ranks
  all_.reset();
  if (mpi_ && orderly) MPI_Finalize();
}

void World::let_cause_speak(ExitCode code) {
  if (all_->size() == 1 || std::exchange(waited_, true)) return;
  std::this_thread::sleep_for(std::chrono::seconds((code == ExitCode::kPeerLost ? 2 : 0) + (all_->rank() != 0 ? 1 : 0)));
}

void World::abort(int code) {
  if (mpi_) MPI_Abort(MPI_COMM_WORLD, code);
  _exit(code);
}

}  // namespace thinkrec
