// MANIFEST.json of a checkpoint. Input with the byte 0x1e in front is what stands under "manifest", and gets the right SHA-256: a
// mutation would hardly ever come past the check of it; "right" in place of the facts of state.h5 stands for those of the file that is
// there. With 0x1d in front it is a checkpoint to be saved, which must come back the same:
// its facts, then a name and values of each tensor, with a byte 0x1e between them.
#include <spdlog/spdlog.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "fuzz_input.h"
#include "io/bounded_json.h"
#include "io/file.h"

namespace {

using namespace thinkrec;

class Saved : public fuzz::Folder {
 public:
  Saved() { CheckpointStore(path(), {{"recipe", "aa"}}, 1).save({1, {}, {{"a", {2}, {1.f, 2.f}}}}); }
};

std::string next_part(std::string_view& input) {
  const std::size_t cut = std::min(input.find('\x1e'), input.size());
  const std::string part(input.substr(0, cut));
  input.remove_prefix(std::min(cut + 1, input.size()));
  return part;
}

/// The text of a manifest with its check, and with "right" replaced; none for what cannot be written.
std::optional<std::string> complete(std::string_view text, const std::string& state_path) {
  auto manifest = nlohmann::json::parse(text, nullptr, false);
  try {
    if (auto& facts = manifest.at("files").at("state.h5"); facts == "right") {
      static const std::string state = read_file(state_path);
      facts = {{"bytes", state.size()}, {"xxh3_128", xxh3_128_hex(state)}, {"sha256", sha256_hex(state)}};
    }
  } catch (const nlohmann::json::exception&) {  // it stays as it is
  }
  if (manifest.is_discarded()) return std::nullopt;
  try {
    return nlohmann::json{{"manifest", manifest}, {"sha256", sha256_hex(manifest.dump())}}.dump(1) + "\n";
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

bool same(const Checkpoint& a, const Checkpoint& b) {
  const auto equal = [](const StoredTensor& x, const StoredTensor& y) {
    return x.name == y.name && x.shape == y.shape && x.values == y.values;
  };
  return a.step == b.step && a.facts == b.facts && std::ranges::equal(a.tensors, b.tensors, equal);
}

void save_and_load(std::string_view input) {
  static const fuzz::Folder folder;
  Checkpoint checkpoint{1, parse_json_object(next_part(input), "facts"), {}};
  while (!input.empty()) {
    StoredTensor& tensor = checkpoint.tensors.emplace_back();
    tensor.name = next_part(input);
    const std::string bytes = next_part(input);
    tensor.values.resize(bytes.size() / sizeof(float));
    if (!tensor.values.empty()) std::memcpy(tensor.values.data(), bytes.data(), tensor.values.size() * sizeof(float));
    tensor.shape = {std::ssize(tensor.values)};
  }
  const std::string stage = folder.path() + "/stage", last = stage + "/step-2";
  std::filesystem::remove_all(stage);
  const CheckpointStore store(stage, {{"recipe", "aa"}}, 1);
  store.save(checkpoint);
  checkpoint.step = 2;
  store.save(checkpoint);
  std::filesystem::create_directory(stage + "/step-3.tmp");
  store.clean();
  if (const auto loaded = store.load_latest(); !loaded || !same(*loaded, checkpoint)) std::abort();
  std::filesystem::rename(last, stage + "/step-3");
  if (store.load_latest()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);  // a warning of each input: a checkpoint passed over
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Saved folder;
  std::string text(fuzz::text_of(data, size));
  if (text.starts_with('\x1d')) {
    fuzz::read_or_refuse([&] { save_and_load(std::string_view(text).substr(1)); });
    return 0;
  }
  if (text.starts_with('\x1e')) {
    auto completed = complete(std::string_view(text).substr(1), folder.path() + "/step-1/state.h5");
    if (!completed) return 0;
    text = std::move(*completed);
  }
  folder.put("step-1/MANIFEST.json", text);
  fuzz::read_or_refuse([&] { CheckpointStore(folder.path(), {{"recipe", "aa"}}, 1).load_latest(); });
  return 0;
}
