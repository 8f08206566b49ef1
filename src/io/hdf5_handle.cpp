#include "io/hdf5_handle.h"

#include <atomic>

namespace thinkrec {

void hdf5_quiet() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

std::string hdf5_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        auto& text = *static_cast<std::string*>(out);
        if (text.empty() && entry->desc != nullptr) text = entry->desc;
        return 0;
      },
      &reason);
  return reason.empty() ? "no details" : reason;
}

std::string hdf5_memory_name() {
  static std::atomic<std::uint64_t> counter{0};
  return "/dev/null/thinkrec-image-" + std::to_string(counter++);  // nothing can lie below /dev/null
}

}  // namespace thinkrec
