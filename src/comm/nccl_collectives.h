#pragma once
// Collectives over NCCL on GPU memory, and over another group on host memory.

#include <memory>
#include <string>
#include <vector>

#include "comm/collectives.h"

namespace thinkrec {

struct NcclOptions {
  double timeout_s = 300.0;    ///< the longest that a call, or setting up, may take
  std::string name = "world";  ///< of the group, in messages
  std::vector<std::string> nccl_libraries = {"libnccl.so.2"};
  std::vector<std::string> cuda_libraries = {"libcudart.so.13", "libcudart.so.12"};
};

/// One rank of `host` per GPU: `device` is this rank's, and becomes the calling thread's in every call. Host memory, barriers, node
/// groups and shared memory go through `host`, which is also where the ranks meet; split() gives groups of the same kind.
///
/// Error(kUsage), with the same text on all ranks, where a rank has no NCCL or not this GPU, and with NCCL's text where it refuses the
/// ranks, such as two on one GPU. Every call watches NCCL while it waits: Error(kPeerLost) when NCCL reports an error or `timeout_s` has
/// passed; the group is aborted then and good for nothing but being destroyed. Destroying is collective, but not while an exception
/// passes: then the rank leaves alone. Calls of one group, and its end, belong to one thread.
std::unique_ptr<Collectives> make_nccl_collectives(std::unique_ptr<Collectives> host, int device,
                                                   const NcclOptions& options = {});

}  // namespace thinkrec
