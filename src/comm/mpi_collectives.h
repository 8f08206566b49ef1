#pragma once
// Collectives over MPI on host memory.

#include <mpi.h>

#include <memory>

#include "comm/collectives.h"

namespace thinkrec {

/// Over a duplicate of `communicator`. Errors of MPI become Error(kPeerLost) with MPI's text.
std::unique_ptr<Collectives> make_mpi_collectives(MPI_Comm communicator);

}  // namespace thinkrec
