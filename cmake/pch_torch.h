// Precompiled for every target that links libtorch. Few headers: g++ instantiates what they leave pending anew in every file. That of
// autograd/custom_function.h alone costs 3 s a file.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "pch_base.h"
