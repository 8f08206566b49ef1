// The files of a run that the report reads: metrics.jsonl, recipe.yaml and evaluation.json, with a byte 0x1e between them.
#include "fuzz_input.h"
#include "report/run_data.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  for (const char* name : {"metrics.jsonl", "recipe.yaml", "evaluation.json"}) {
    const std::size_t cut = std::min(input.find('\x1e'), input.size());
    folder.put(name, input.substr(0, cut));
    input.remove_prefix(std::min(cut + 1, input.size()));
  }
  fuzz::read_or_refuse([&] { html::read_run(folder.path()); });
  return 0;
}
