#include "text/save_tokenizer.h"

#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

/// A small GGUF tokenizer: bytes, a few merges, a control token and one that is plain text with an id of its own.
GgufBuilder small_gguf(const std::string& pre, bool bos) {
  std::vector<std::string> tokens, merges = {"1 2", "t h", "12 3"};
  for (const char32_t c : byte_alphabet()) tokens.push_back(encode_utf8({&c, 1}));
  for (const char* token : {"12", "th", "the", "123", "<|end|>", "two words"}) tokens.emplace_back(token);
  std::vector<std::int32_t> types(tokens.size(), 1);
  types[260] = 3, types[261] = 4;
  GgufBuilder out;
  out.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", merges);
  out.numbers("tokenizer.ggml.token_type", types).text("tokenizer.ggml.pre", pre).number("tokenizer.ggml.eos_token_id", 260);
  out.number("tokenizer.ggml.bos_token_id", 260).flag("tokenizer.ggml.add_bos_token", bos);
  out.text("tokenizer.chat_template", "{{ messages }}");
  return out;
}

TEST(SaveTokenizer, OfAGgufFileCutsAndMergesAsBefore) {
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    for (const bool bos : {false, true}) {
      const TempFolder folder;
      const std::string gguf = folder.put("model.gguf", small_gguf(pre, bos).bytes());
      std::filesystem::create_directory(folder.path() / "saved");
      save_tokenizer(gguf, folder.file("saved"));
      const auto before = load_tokenizer(gguf), after = load_tokenizer(folder.file("saved"));
      EXPECT_EQ(after->eos(), before->eos()) << pre;
      EXPECT_EQ(after->bos(), before->bos()) << pre;
      EXPECT_EQ(after->size(), before->size());
      EXPECT_EQ(after->find_special("<|end|>"), 260);
      for (const char* text : {"the123123 12", "two words <|end|>", " it's\n\n  the end ", "\xC3\xA9\xE2\x82\xAC 1234"}) {
        const Ids ids = before->encode(text);
        EXPECT_EQ(after->encode(text), ids) << pre << ": " << text;
        EXPECT_EQ(after->decode(ids), text);
      }
      EXPECT_EQ(after->decode(Ids{261, 260}), before->decode(Ids{261, 260}));
      EXPECT_EQ(Json::parse(folder.read("saved/tokenizer_config.json"))["chat_template"], "{{ messages }}");
    }
  }
}

TEST(SaveTokenizer, OfAFolderIsCopied) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.path() / "from");
  std::filesystem::create_directory(folder.path() / "to");
  for (const char* name : {"from/tokenizer.json", "from/tokenizer_config.json", "from/chat_template.jinja", "from/other.bin"})
    folder.put(name, name);
  save_tokenizer(folder.file("from"), folder.file("to"));
  EXPECT_EQ(folder.read("to/tokenizer.json"), "from/tokenizer.json");
  EXPECT_EQ(folder.read("to/chat_template.jinja"), "from/chat_template.jinja");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "to" / "other.bin"));
}

TEST(SaveTokenizer, RefusesWhatIsNone) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "no tokenizer files", [&] { save_tokenizer(folder.path().string(), folder.path().string()); });
  expect_error(ExitCode::kNoInput, "nowhere.gguf", [&] { save_tokenizer(folder.file("nowhere.gguf"), folder.path().string()); });
  const std::string broken =
      folder.put("broken.gguf", small_gguf("gpt-2", false).text("tokenizer.chat_template2", "x").bytes().substr(0, 100));
  expect_error(ExitCode::kBadData, "broken.gguf", [&] { save_tokenizer(broken, folder.path().string()); });
  GgufBuilder early;
  std::vector<std::string> tokens = {"two words"};
  for (const char32_t c : byte_alphabet()) tokens.push_back(encode_utf8({&c, 1}));
  std::vector<std::int32_t> types(tokens.size(), 1);
  types[0] = 4;
  early.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", {});
  early.numbers("tokenizer.ggml.token_type", types);
  const std::string order = folder.put("early.gguf", early.bytes());
  expect_error(ExitCode::kBadData, "user-defined token 0", [&] { save_tokenizer(order, folder.path().string()); });
  const std::string latin = folder.put("latin.gguf", small_gguf("gpt-2", false).text("llama.name", "x").bytes());
  std::string bytes = folder.read("latin.gguf");
  bytes.replace(bytes.find("{{ messages"), 2, "\xE9\xE9");
  folder.put("latin.gguf", bytes);
  expect_error(ExitCode::kBadData, "no UTF-8", [&] { save_tokenizer(latin, folder.path().string()); });
}

}  // namespace
}  // namespace thinkrec
