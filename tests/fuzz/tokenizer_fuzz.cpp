// tokenizer.json and what it encodes: the input is the file, a byte 0x1e, the text, and, after another, tokenizer_config.json. With a byte
// 2 in front it is a sentencepiece model, of which only our own reader is asked; the library before it is Debian's. With a byte 3 it is a
// vocab.txt of BERT in place of the tokenizer.json.
#include <memory>

#include "fuzz_input.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  if (input.starts_with('\x02')) {
    read_sentencepiece_settings(input.substr(1));
    return 0;
  }
  const bool vocabulary = input.starts_with('\x03');
  if (vocabulary) input.remove_prefix(1);
  const std::size_t cut = input.find('\x1e'), second = cut == input.npos ? cut : input.find('\x1e', cut + 1);
  const std::string path = folder.put(vocabulary ? "vocab.txt" : "tokenizer.json", input.substr(0, cut));
  folder.put("tokenizer_config.json", second == input.npos ? "{}" : input.substr(second + 1));
  fuzz::read_or_refuse([&] {
    const auto tokenizer = load_tokenizer(path);
    const auto ids = tokenizer->encode(cut == input.npos ? "What <|eot_id|> is this?" : input.substr(cut + 1, second - cut - 1));
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->size()) std::abort();
    }
    tokenizer->decode(ids);
  });
  return 0;
}
