// Recipes, against the table of the programs. What is read must read the same when it is written out again.
#include "core/recipe.h"
#include "core/recipe_options.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  static const fuzz::Folder folder;
  const std::string path = folder.put("recipe.yaml", fuzz::text_of(data, size));
  fuzz::read_or_refuse([&] {
    const Recipe recipe = Recipe::load(path, {}, recipe_options());
    const std::string again = folder.put("again.yaml", recipe.resolved());
    if (Recipe::load(again, {}, recipe_options()).hash() != recipe.hash()) std::abort();
  });
  return 0;
}
