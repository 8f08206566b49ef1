#pragma once
// Collectives over MPI on host memory.

// The C++ bindings of old MPI standards are not used, and their headers are long.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <cstddef>
#include <memory>

#include "comm/collectives.h"

namespace thinkrec {

/// Elements of one message: MPI counts in int, and 2^28 doubles are 2^31 bytes.
constexpr std::size_t kMostMessageElements = std::size_t{1} << 28;

/// Over a duplicate of `communicator`. Errors of MPI become Error(kPeerLost) with MPI's text. Longer messages than `most_elements`
/// (1 .. kMostMessageElements) travel in parts; tests make it small.
std::unique_ptr<Collectives> make_mpi_collectives(MPI_Comm communicator, std::size_t most_elements = kMostMessageElements);

}  // namespace thinkrec
