#include "train/run_identity.h"

namespace thinkrec {

std::string recipe_identity(const Recipe& stored, const Recipe& current) {
  return stored.hash() == current.hash() ? stored.hash_of_given() : current.hash();
}

}  // namespace thinkrec
