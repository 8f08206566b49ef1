// Recipes, against the table of the programs and options of the types that it lacks: the recipe, a byte 0x1e, the file other.yaml, which it
// may name as its base, then up to eight --set changes, each after a 0x1e. What is read is asked for by every getter, and must read the same
// when it is written out again.
#include <vector>

#include "core/recipe.h"
#include "core/recipe_options.h"
#include "fuzz_input.h"

namespace {

using namespace thinkrec;

constexpr std::size_t kShort = 1 << 16;  // a longer text may be past the bounds of recipes
constexpr std::ptrdiff_t kMostSets = 8;  // more only take time: for each that is refused the nearest of all names is looked for

const OptionTable& table() {
  static const OptionTable kTable = [] {
    using enum OptionType;
    OptionTable result = recipe_options();
    result.push_back({"more.reals", kRealList, "0.5, 1", "[0, 1]", "", "numbers"});
    result.push_back({"more.words", kTextList, "", "", "", "texts"});
    result.push_back({"more.needed", kInteger, "", "", "", "an integer without a default"});
    result.push_back({"more.rates.*", kReal, "", "> 0", "", "a list of options"});
    return result;
  }();
  return kTable;
}

void ask(const Recipe& recipe, const Option& option, const std::string& name) {
  recipe.given(name);
  recipe.has_value(name);
  switch (option.type) {
    case OptionType::kInteger:
      fuzz::read_or_refuse([&] { recipe.integer(name); });
      [[fallthrough]];
    case OptionType::kReal:
      fuzz::read_or_refuse([&] { recipe.real(name); });
      break;
    case OptionType::kFlag:
      recipe.flag(name);
      break;
    case OptionType::kTextList:
      recipe.list(name);
      break;
    case OptionType::kRealList:
      recipe.real_list(name);
      break;
    default:
      recipe.text(name);
  }
}

void ask_all(const Recipe& recipe) {
  for (const Option& option : table()) {
    const std::size_t star = option.name.find(".*");
    if (star == option.name.npos) {
      ask(recipe, option, option.name);
      continue;
    }
    for (std::int64_t i = 0; i < recipe.count(option.name.substr(0, star)); ++i)
      ask(recipe, option, option.name.substr(0, star + 1) + std::to_string(i) + option.name.substr(star + 2));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  std::vector<std::string> parts;
  for (std::size_t cut = 0; cut != input.npos; input.remove_prefix(cut == input.npos ? 0 : cut + 1)) {
    cut = input.find('\x1e');
    parts.emplace_back(input.substr(0, cut));
  }
  const std::string path = folder.put("recipe.yaml", parts[0]);
  folder.put("other.yaml", parts.size() > 1 ? parts[1] : "");
  const auto first = parts.begin() + std::min<std::ptrdiff_t>(2, std::ssize(parts));
  const std::vector<std::string> sets(first, first + std::min(kMostSets, parts.end() - first));
  fuzz::read_or_refuse([&] {
    const Recipe recipe = Recipe::load(path, sets, table());
    ask_all(recipe);
    const std::string resolved = recipe.resolved(), again = folder.put("again.yaml", resolved);
    if (resolved.size() < kShort && !Recipe::validate(again, {}, table()).empty()) std::abort();
    if (Recipe::load(again, {}, table()).hash() != recipe.hash()) std::abort();
  });
  return 0;
}
