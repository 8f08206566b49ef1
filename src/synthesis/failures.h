#pragma once
// What has not been made yet, and why: a list beside the data set, so that nothing is lost silently.

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace thinkrec {

struct SynthesisFailure {
  std::string who;   ///< for the reader: "user u1, item i7"
  std::string why;   ///< one line
  std::string by{};  ///< what it failed with (model and settings); asking the same again is no use. Empty: it was never answered
};

/// JSON lines {"what", "number", "who", "why", "by"}: `what` is "reason" or "keywords", `number` the row or the item.
class FailureList {
 public:
  /// Reads the file where there is one. kBadData (file:line).
  explicit FailureList(std::string path);
  const SynthesisFailure* find(const std::string& what, std::int64_t number) const;
  void put(const std::string& what, std::int64_t number, SynthesisFailure failure);
  void drop(const std::string& what, std::int64_t number);
  std::int64_t count(const std::string& what) const;
  const std::string& path() const { return path_; }
  /// Writes the file; removes it when nothing is left to list. Error kIo.
  void save() const;

 private:
  std::string path_;
  std::map<std::pair<std::string, std::int64_t>, SynthesisFailure> failures_;
};

}  // namespace thinkrec
