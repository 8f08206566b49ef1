// A job of nccl_jobs_test.cpp: three sums and a broadcast over NCCL, then one sum in groups of two. nccl_job LIBRARY TIMEOUT
// LIBRARY stands in for NCCL and for the CUDA runtime.

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "app/ranked_program.h"
#include "comm/nccl_collectives.h"
#include "core/error.h"

namespace {

using namespace thinkrec;

void work(Collectives& all) {
  float value = 0.0F;  // the double's GPU memory is host memory
  for (int i = 0; i < 3; ++i) {
    value = 1.0F;
    all.all_reduce_sum_device(&value, 1);
    THINKREC_CHECK(value == static_cast<float>(all.size()), "{} over {} ranks", value, all.size());
  }
  all.broadcast_device(&value, sizeof value, all.size() - 1);
  const auto pair = all.split(all.rank() / 2);
  value = 1.0F;
  pair->all_reduce_sum_device(&value, 1);
  THINKREC_CHECK(value == static_cast<float>(pair->size()), "{} over {} ranks", value, pair->size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 99;
  return run_ranked_program("nccl_job", [&](std::unique_ptr<World>& world) {
    world = std::make_unique<World>(argc, argv);
    NcclOptions options;
    options.nccl_libraries = options.cuda_libraries = {argv[1]};
    options.timeout_s = std::atof(argv[2]);
    const auto all = make_nccl_collectives(world->all().split(0), world->all().rank(), options);
    work(*all);
    std::printf("rank %d is through\n", world->all().rank());
    return 0;
  });
}
