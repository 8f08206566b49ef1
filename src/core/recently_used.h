#pragma once
// A bounded memory of things that are costly to make.

#include <cstddef>
#include <list>
#include <utility>

namespace thinkrec {

/// Keeps the values of the last `most` keys asked for; a search walks over them all, so it is meant for tens, not thousands.
template <class Key, class Value>
class RecentlyUsed {
 public:
  /// most >= 1.
  explicit RecentlyUsed(std::size_t most) : most_(most) {}

  /// The value of `key`, made by `make()` when it is not kept. The reference is valid until `most` other keys were asked for.
  template <class Make>
  const Value& get(const Key& key, const Make& make) {
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->first != key) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      return entries_.front().second;
    }
    if (entries_.size() == most_) entries_.pop_back();
    entries_.emplace_front(key, make());
    return entries_.front().second;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  std::size_t most_;
  std::list<std::pair<Key, Value>> entries_;  // the last asked for comes first
};

}  // namespace thinkrec
