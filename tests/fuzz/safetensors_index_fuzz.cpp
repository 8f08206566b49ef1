// model.safetensors.index.json.
#include "fuzz_input.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  folder.put("model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::read_or_refuse([&] {
    for (const std::string& name : safetensors_shards(folder.path())) {
      if (name.empty() || name.find('/') != std::string::npos) std::abort();
    }
  });
  return 0;
}
