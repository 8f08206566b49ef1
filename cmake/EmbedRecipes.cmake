# cmake -DFOLDER=configs -DRECIPES="a.yaml|recipes/b.yaml" -DOUTPUT=x.cpp -P EmbedRecipes.cmake
# Writes the recipes as the table behind core/embedded_recipes.h, sorted by name.
string(REPLACE "|" ";" names "${RECIPES}")
list(TRANSFORM names REPLACE "\\.yaml$" "")
list(SORT names)
set(entries "")
foreach(name IN LISTS names)
  file(READ "${FOLDER}/${name}.yaml" text)
  string(FIND "${text}" ")recipe\"" end)
  if(NOT end EQUAL -1)
    message(FATAL_ERROR "${FOLDER}/${name}.yaml: )recipe\" would end the string that holds the recipe; write it otherwise")
  endif()
  string(APPEND entries "    {\"${name}\", R\"recipe(${text})recipe\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "// Written by cmake/EmbedRecipes.cmake from configs/.
#include \"core/embedded_recipes.h\"

namespace thinkrec {

std::span<const EmbeddedRecipe> embedded_recipes() {
  static constexpr EmbeddedRecipe kRecipes[] = {
${entries}  };
  return kRecipes;
}

}  // namespace thinkrec
")
