#pragma once
// A bounded walk through a file of unknown origin: everything that thinkrec would read of it is read once.

#include <string>

namespace thinkrec {

/// An HDF5 file (a data set as load_dataset does, then every group, data set and attribute), a GGUF or safetensors file. Gives what
/// is in it, in a few words. Error kNoInput, kBadData naming file and defect. May crash or hang in HDF5: see guard.h.
std::string walk_file(const std::string& path);

}  // namespace thinkrec
