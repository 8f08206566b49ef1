// config.json of a Hugging Face model; with a byte 2 in front, adapter_config.json of a PEFT folder, with a 3 generation_config.json.
#include <filesystem>

#include "adapters/peft_config.h"
#include "fuzz_input.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::read_or_refuse([&] {
    if (text.starts_with('\x02')) {
      parse_peft_config(text.substr(1), "adapter_config.json");
    } else if (text.starts_with('\x03')) {
      static const fuzz::Folder folder;
      const std::filesystem::path path = folder.put("generation_config.json", text.substr(1));
      generation_ends(path.parent_path().string());
    } else {
      parse_hf_config(std::string(text), "config.json");
    }
  });
  return 0;
}
