// Precompiled for every test that does not link libtorch.
#include <gtest/gtest.h>

#include "pch_base.h"
