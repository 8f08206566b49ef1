#pragma once
// What this build was made from.

namespace thinkrec {

/// "0.1.0".
const char* program_version();
/// Abbreviated, as of the last build (cmake/BuildCommit.cmake), "+changes" behind it where the tree had some; empty: not built from a git checkout.
const char* program_commit();

}  // namespace thinkrec
