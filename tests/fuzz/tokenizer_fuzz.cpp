// tokenizer.json and what it encodes: the input is the file, a byte 0x1e, the text.
#include <memory>

#include "fuzz_input.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  const std::size_t cut = input.find('\x1e');
  const std::string path = folder.put("tokenizer.json", input.substr(0, cut));
  fuzz::read_or_refuse([&] {
    const auto tokenizer = load_tokenizer(path);
    const auto ids = tokenizer->encode(cut == input.npos ? "What <|eot_id|> is this?" : input.substr(cut + 1));
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->size()) std::abort();
    }
    tokenizer->decode(ids);
  });
  return 0;
}
