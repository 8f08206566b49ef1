#include "train/run_identity.h"

#include "io/file.h"

namespace thinkrec {

std::string recipe_identity(const Recipe& stored, const Recipe& current) {
  if (stored.hash() != current.hash()) return current.hash();
  std::string text;  // as Recipe::hash has it
  for (const auto& [name, value] : stored.affecting()) {
    if (stored.given(name)) text += name + ": " + value + "\n";
  }
  return sha256_hex(text);
}

}  // namespace thinkrec
