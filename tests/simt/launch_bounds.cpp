// The THINKREC_KERNEL bound of a function, read back from the no-ops ahead of its entry.

#include <algorithm>

#include "simt/names.h"

// Where the no-ops of each THINKREC_KERNEL begin: a section of the executable, bounded by the linker.
extern "C" {
extern const std::uintptr_t __start___patchable_function_entries[] __attribute__((weak, visibility("hidden")));
extern const std::uintptr_t __stop___patchable_function_entries[] __attribute__((weak, visibility("hidden")));
}

namespace simt::detail {

std::size_t bound_of(const char* name, std::uintptr_t function) {
  std::uintptr_t nearest = 0;
  for (const std::uintptr_t* entry = __start___patchable_function_entries; entry != __stop___patchable_function_entries;
       ++entry) {
    if (*entry <= function) {
      nearest = std::max(nearest, *entry);
    }
  }
  bool marked = function - nearest <= kMaxThreads;
#if defined(__x86_64__)
  for (std::uintptr_t at = nearest; marked && at < function; ++at) {
    marked = *reinterpret_cast<const unsigned char*>(at) == 0x90;
  }
#endif
  if (!marked) {
    throw Fault(Kind::launch, fmt::format("simt: kernel {}: {}: it has no THINKREC_KERNEL of at most {}", name,
                                          name_of(Kind::launch), kMaxThreads));
  }
  return function - nearest;
}

}  // namespace simt::detail
