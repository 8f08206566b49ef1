// MANIFEST.json of a checkpoint. Input with the byte 0x1e in front is what stands under "manifest", and gets the right SHA-256: a
// mutation would hardly ever come past the check of it.
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "fuzz_input.h"
#include "io/file.h"

namespace {
class Saved : public thinkrec::fuzz::Folder {
 public:
  Saved() { thinkrec::CheckpointStore(path(), {{"recipe", "aa"}}, 1).save({1, {}, {{"a", {2}, {1.f, 2.f}}}}); }
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const Saved folder;
  std::string text(fuzz::text_of(data, size));
  if (text.starts_with('\x1e')) {
    const auto manifest = nlohmann::json::parse(text.substr(1), nullptr, false);
    if (manifest.is_discarded()) return 0;
    try {
      text = nlohmann::json{{"manifest", manifest}, {"sha256", sha256_hex(manifest.dump())}}.dump(1) + "\n";
    } catch (const nlohmann::json::exception&) {
      return 0;
    }
  }
  folder.put("step-1/MANIFEST.json", text);
  fuzz::read_or_refuse([&] { CheckpointStore(folder.path(), {{"recipe", "aa"}}, 1).load_latest(); });
  return 0;
}
