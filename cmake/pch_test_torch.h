// Precompiled for every test that links libtorch.
#include "pch_torch.h"

#include <gtest/gtest.h>
