// GGUF files: metadata, tensors, the tokenizer in them and the model's shape.
#include "fuzz_input.h"
#include "io/gguf.h"
#include "model/config.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  const std::string path = folder.put("f.gguf", fuzz::text_of(data, size));
  fuzz::read_or_refuse([&] {
    const GgufFile file(path);
    for (const auto& tensor : file.tensors()) {
      fuzz::read_or_refuse([&] {
        if (tensor.elements > 1 << 20) return;
        std::vector<float> values(static_cast<std::size_t>(tensor.elements));
        file.read(tensor, values.data());
      });
    }
    fuzz::read_or_refuse([&] { gguf_config(file); });
    const auto tokenizer = load_tokenizer(path);
    const auto ids = tokenizer->encode("What <s> is \xc3\xa9 this?");
    tokenizer->decode(ids);
  });
  return 0;
}
