#include "core/build_info.h"

namespace thinkrec {

const char* program_version() { return THINKREC_VERSION; }

}  // namespace thinkrec
