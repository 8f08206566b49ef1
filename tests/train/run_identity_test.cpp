#include "train/run_identity.h"

#include "core/recipe_options.h"
#include "io/file.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

/// A run directory of a version that did not know prompt.history_features, and of one that does.
TEST(RunIdentity, StaysWhenALaterVersionHasMoreOptions) {
  const testing::TempFolder folder;
  const std::vector<std::string> sets = {"data.path=a.h5", "model.path=m", "group.count=3"};
  const Recipe now = Recipe::load("", sets, recipe_options());
  const std::string whole = now.resolved(), line = "  history_features: true\n";
  ASSERT_NE(whole.find(line), std::string::npos);
  std::string before = whole;
  before.erase(before.find(line), line.size());
  const Recipe same = Recipe::load(folder.put("now.yaml", whole), {}, recipe_options());
  EXPECT_EQ(recipe_identity(same, now), now.hash());
  const Recipe old = Recipe::load(folder.put("old.yaml", before), {}, recipe_options());
  std::string text;  // what the version without the option hashed
  for (const auto& [name, value] : now.affecting()) {
    if (name != "prompt.history_features") text += name + ": " + value + "\n";
  }
  EXPECT_EQ(recipe_identity(old, now), sha256_hex(text));
  EXPECT_NE(recipe_identity(old, now), now.hash());
  // Another value than the option's default, or any other change, is another run.
  for (const char* change : {"prompt.history_features=false", "group.count=2"}) {
    std::vector<std::string> more = sets;
    more.emplace_back(change);
    const Recipe other = Recipe::load("", more, recipe_options());
    EXPECT_EQ(recipe_identity(old, other), other.hash()) << change;
    EXPECT_NE(recipe_identity(old, other), recipe_identity(old, now)) << change;
  }
}

}  // namespace
}  // namespace thinkrec
