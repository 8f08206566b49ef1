// config.json of a Hugging Face model.
#include "fuzz_input.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  fuzz::read_or_refuse([&] { parse_hf_config(std::string(fuzz::text_of(data, size)), "config.json"); });
  return 0;
}
