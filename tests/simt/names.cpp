#include "simt/names.h"

namespace simt::detail {

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::barrier:
      return "divergent barrier";
    case Kind::bounds:
      return "out of bounds";
    case Kind::uninitialised:
      return "uninitialised shared memory";
    case Kind::race:
      return "race";
    case Kind::misaligned:
      return "misaligned";
    case Kind::launch:
      return "invalid launch";
  }
  return "";
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::block:
      return "__syncthreads";
    case Operation::warp:
      return "__syncwarp";
    case Operation::shfl:
      return "__shfl_sync";
    case Operation::shfl_xor:
      return "__shfl_xor_sync";
    case Operation::shfl_down:
      return "__shfl_down_sync";
    case Operation::ballot:
      return "__ballot_sync";
    case Operation::any:
      return "__any_sync";
  }
  return "";
}

}  // namespace simt::detail
