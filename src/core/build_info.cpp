#include "core/build_info.h"

namespace thinkrec {

const char* program_version() { return THINKREC_VERSION; }
const char* program_commit() { return THINKREC_COMMIT; }

}  // namespace thinkrec
