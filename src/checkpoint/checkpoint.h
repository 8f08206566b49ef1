#pragma once
// Checkpoints: a folder step-N/ with one HDF5 image and a manifest, there entirely or not at all.
// Written as step-N.tmp/, each file synced, MANIFEST.json last, then renamed. The manifest's hashes are checked before HDF5 sees a byte.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace thinkrec {

/// A tensor as it is stored: fp32, row-major.
struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

struct Checkpoint {
  std::int64_t step = 0;
  nlohmann::json facts = nlohmann::json::object();  ///< small values: best score, counters
  std::vector<StoredTensor> tensors;
};

/// What a checkpoint belongs to: name -> hash of recipe, model, tokenizer, data, ... A checkpoint of another identity is refused.
using Identity = std::vector<std::pair<std::string, std::string>>;

class CheckpointStore {
 public:
  /// `folder` is <run>/checkpoints/<stage>. Nothing is written until save. `ranks` of the job stand in what it writes, beside version and
  /// commit, for whoever looks; nothing depends on them.
  CheckpointStore(std::string folder, Identity identity, int keep_last, int ranks = 1);

  /// Writes step-N, and removes those after it and all but the newest keep_last up to it. Error kIo names path, errno text and bytes; older ones stay intact.
  /// kDiverged naming the tensor when a value is not finite.
  void save(const Checkpoint& checkpoint) const;

  /// The newest valid checkpoint; damaged ones are skipped with a warning. Nothing when there is none. kBadData naming the field when a
  /// valid one belongs to another recipe, model, tokenizer or data set, or to a newer schema.
  std::optional<Checkpoint> load_latest() const;

  /// That of one step. kNoInput, or kBadData and kConfig as in load_latest, where it cannot be read.
  Checkpoint load_step(std::int64_t step) const;

  /// Removes what a crash left half-written (step-N.tmp).
  void clean() const;

  const std::string& folder() const { return folder_; }

 private:
  Checkpoint load(const std::string& path) const;
  std::string folder_of(std::int64_t step) const;
  std::vector<std::int64_t> steps() const;  // of complete folders, ascending

  std::string folder_;
  Identity identity_;
  int keep_last_, ranks_;
};

}  // namespace thinkrec
