#pragma once
// The world of tests that run under mpirun (their main is mpi_main.cpp).

#include "comm/collectives.h"

namespace thinkrec {

/// All ranks of the test.
Collectives& test_world();

}  // namespace thinkrec
