#pragma once
// The option table of recipes: every setting of a run, with its default, range and help, in one place.

#include "core/options.h"

namespace thinkrec {

const OptionTable& recipe_options();

}  // namespace thinkrec
