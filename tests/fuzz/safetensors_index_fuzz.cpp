// model.safetensors.index.json and the files that it names: the input is the index, then the headers of a.safetensors and b.safetensors, each
// behind a byte 0x1e; each file has eight bytes of data behind its header.
#include "fuzz_input.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  const auto next_part = [&] {
    const std::size_t cut = std::min(input.find('\x1e'), input.size());
    const std::string part(input.substr(0, cut));
    input.remove_prefix(std::min(cut + 1, input.size()));
    return part;
  };
  folder.put("model.safetensors.index.json", next_part());
  for (const char* name : {"a.safetensors", "b.safetensors"}) {
    const std::string header = next_part();
    const std::uint64_t length = header.size();
    folder.put(name, std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + std::string(8, '\1'));
  }
  fuzz::read_or_refuse([&] {
    for (const std::string& name : safetensors_shards(folder.path())) {
      if (name.empty() || name.find('/') != std::string::npos) std::abort();
    }
    const SafetensorsFolder shards(folder.path());
    for (const SafetensorsFile& file : shards.files()) {
      for (const auto& entry : file.entries()) {
        const SafetensorsFolder::Place place = shards.place(entry.name);
        if (place.file != &file || place.entry->name != entry.name) std::abort();
      }
    }
    shards.place("weight");
  });
  return 0;
}
