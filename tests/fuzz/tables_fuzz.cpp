// The formats of thinkrec_prepare. The first byte chooses one, and its settings; the files of the folder follow, with a byte 0x1e between
// them. Behind a file that begins like gzip, whose bytes may well hold a 0x1e, stand two.
#include <array>
#include <vector>

#include "data/prepare.h"
#include "fuzz_input.h"

namespace {
struct Layout {
  const char* format;
  std::vector<const char*> files;
};
const std::array kLayouts = {Layout{"ratings", {"interactions.csv", "items.csv"}},
                             Layout{"csv", {"train.csv", "valid.csv", "test.csv", "items.csv"}},
                             Layout{"recbole", {"a.inter", "a.item"}},
                             Layout{"movielens", {"u.data", "u.item"}},
                             Layout{"movielens", {"ratings.dat", "movies.dat"}},
                             Layout{"movielens", {"ratings.csv", "movies.csv"}},
                             Layout{"amazon", {"Books_5.json", "meta_Books.json"}},
                             Layout{"yelp", {"yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"}}};

/// Takes the next file from the front of `input`.
std::string_view next_file(std::string_view& input) {
  const std::string_view end = input.starts_with("\x1f\x8b") ? "\x1e\x1e" : "\x1e";
  const std::size_t cut = std::min(input.find(end), input.size());
  const std::string_view file = input.substr(0, cut);
  input.remove_prefix(std::min(cut + end.size(), input.size()));
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  if (size == 0) return 0;
  static const std::array<fuzz::Folder, kLayouts.size()> folders;
  const std::size_t chosen = data[0] % kLayouts.size();
  std::string_view input = fuzz::text_of(data + 1, size - 1);
  for (const char* name : kLayouts[chosen].files) folders[chosen].put(name, next_file(input));
  PrepareOptions options;
  options.format = kLayouts[chosen].format;
  options.input = folders[chosen].path();
  const unsigned settings = data[0] / kLayouts.size();
  options.strip_year = (settings & 1) != 0;
  options.unknown_items =
      std::array{UnknownItems::kRefuse, UnknownItems::kDrop, UnknownItems::kKeep, UnknownItems::kKeep}[settings >> 1 & 3];
  options.keep_unrated_items = (settings & 8) != 0;
  if ((settings & 16) != 0) options.window_start = 3;
  fuzz::read_or_refuse([&] {
    const RawData raw = find_format(options.format).read(options);
    build_dataset(raw, options).check("fuzz");
  });
  return 0;
}
