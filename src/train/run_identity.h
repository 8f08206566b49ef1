#pragma once
// What ties checkpoints to the recipe of their run, over versions of thinkrec.

#include <string>

#include "core/recipe.h"

namespace thinkrec {

/// The recipe's part of a checkpoint's identity, in a run directory whose recipe.yaml was read as `stored`. That file has every option of the
/// version that began the run, and the hash is over those alone: an option that came later, at its default, leaves the run's checkpoints what
/// they are. When `current` asks for something else than the file, its own hash, which fits none of them.
std::string recipe_identity(const Recipe& stored, const Recipe& current);

}  // namespace thinkrec
