// config.json of a Hugging Face model; with a byte 2 in front, adapter_config.json of a PEFT folder.
#include "adapters/peft_config.h"
#include "fuzz_input.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::read_or_refuse([&] {
    if (text.starts_with('\x02')) {
      parse_peft_config(text.substr(1), "adapter_config.json");
    } else {
      parse_hf_config(std::string(text), "config.json");
    }
  });
  return 0;
}
