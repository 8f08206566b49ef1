// safetensors files: header and data.
#include "fuzz_input.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  const std::string path = folder.put("f.safetensors", fuzz::text_of(data, size));
  fuzz::read_or_refuse([&] {
    const SafetensorsFile file(path);
    for (const auto& entry : file.entries()) {
      if (entry.dtype != "F32" && entry.dtype != "F16" && entry.dtype != "BF16") continue;
      std::vector<float> values(static_cast<std::size_t>(entry.elements));
      file.read(entry, values.data());
    }
  });
  return 0;
}
