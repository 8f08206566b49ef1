#pragma once
// Replies as they came, kept beside the data set until it holds what was made of them: what was answered is not asked again, whenever
// the program was killed.

#include <string>
#include <unordered_map>

#include "synthesis/chat.h"

namespace thinkrec {

/// JSON lines {"key", "text", "thinking", "cut"}, appended and synced one by one. A line that a crash cut off is dropped.
class Journal {
 public:
  /// Opens or makes the file, and locks it: kIo when another process is at work on it. kBadData (file:line) for a whole line that is none
  /// of the above.
  explicit Journal(std::string path);
  ~Journal();  ///< an empty one is removed
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// The reply to what has this key; null without one.
  const ChatReply* find(const std::string& key) const;
  /// Once it returns, the reply is on disk. Error kIo.
  void add(const std::string& key, const ChatReply& reply);
  /// Removes the file: everything is merged.
  void remove();

 private:
  bool open_locked();
  void read();

  std::string path_;
  int descriptor_ = -1;
  std::unordered_map<std::string, ChatReply> replies_;
};

/// What a reply is found by: SHA-256 of all that it depends on. `turn` tells apart asking the same again.
std::string request_key(const ChatBackend& backend, const ChatRequest& request, std::int64_t turn);

}  // namespace thinkrec
