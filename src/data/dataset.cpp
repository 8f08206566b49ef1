#include "data/dataset.h"

#include <unordered_set>

#include "core/error.h"
#include "core/joined.h"
#include "core/utf8.h"
#include "io/file.h"

namespace thinkrec {
namespace {

template <class T>
std::string array_hash(const std::vector<T>& values) {
  return sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

/// The length goes first, so that no two lists of texts give the same bytes.
void append_text(std::string& to, const std::string& text) { to += fmt::format("{}:{}", text.size(), text); }

/// Says what is wrong with a data set, naming where it came from.
class Checker {
 public:
  explicit Checker(const std::string& origin) : origin_(origin) {}

  template <class... Args>
  void require(bool good, fmt::format_string<Args...> format, Args&&... args) const {
    if (good) return;
    fail(ExitCode::kBadData, "{}: {}; make the file again with thinkrec_prepare", origin_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  void unique(const char* what, const std::unordered_set<std::string_view>& seen, std::size_t number,
              const std::string& last) const {
    require(seen.size() == number + 1, "{}[{}]: the id '{}' stands there twice", what, number, last);
  }

 private:
  const std::string& origin_;
};

void check_names(const Dataset& dataset, const Checker& checker) {
  checker.require(!dataset.noun.singular.empty() && !dataset.noun.plural.empty(), "noun: singular or plural is empty");
  checker.require(std::isfinite(dataset.threshold), "threshold: is not a number");
  checker.require(is_utf8(dataset.name), "name: is not UTF-8 (--name sets it)");
  checker.require(is_utf8(dataset.noun.singular) && is_utf8(dataset.noun.plural), "noun: is not UTF-8");
  std::unordered_set<std::string_view> seen(dataset.items.size());
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    seen.insert(dataset.items[i].id);
    checker.unique("items", seen, i, dataset.items[i].id);
    const Item& item = dataset.items[i];
    checker.require(!item.title.empty(), "items[{}]: the title is empty", i);
    checker.require(is_utf8(item.id) && is_utf8(item.title) && is_utf8(item.keywords) && is_utf8(item.profile),
                    "items[{}]: a text is not UTF-8", i);
  }
  seen.clear();
  for (std::size_t u = 0; u < dataset.users.size(); ++u) {
    seen.insert(dataset.users[u]);
    checker.unique("users", seen, u, dataset.users[u]);
    checker.require(is_utf8(dataset.users[u]), "users[{}]: the id is not UTF-8", u);
  }
}

void check_interactions(const Dataset& dataset, const Checker& checker) {
  const std::size_t n = dataset.user.size();
  const auto same_length = [&](const char* name, std::size_t length) {
    checker.require(length == n, "{}: {} values for {} interactions", name, length, n);
  };
  same_length("item", dataset.item.size());
  same_length("label", dataset.label.size());
  same_length("timestamp", dataset.timestamp.size());
  checker.require(dataset.user_begin.size() == dataset.users.size() + 1, "user_begin: {} offsets for {} users",
                  dataset.user_begin.size(), dataset.users.size());
  checker.require(dataset.user_begin.front() == 0 && dataset.user_begin.back() == dataset.interactions(),
                  "user_begin: does not run from 0 to the {} interactions", n);
  for (std::size_t u = 0; u < dataset.users.size(); ++u) {
    const std::int64_t begin = dataset.user_begin[u], end = dataset.user_begin[u + 1];
    checker.require(begin <= end && end <= dataset.interactions(), "user_begin[{}]: {} is out of order", u + 1, end);
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      checker.require(dataset.user[i] == static_cast<std::int64_t>(u), "user[{}]: is {}, user_begin says {}", i, dataset.user[i],
                      u);
      checker.require(dataset.item[i] >= 0 && static_cast<std::size_t>(dataset.item[i]) < dataset.items.size(),
                      "item[{}]: {} is none of {} items", i, dataset.item[i], dataset.items.size());
      checker.require(dataset.label[i] <= 1, "label[{}]: is {}, neither 0 nor 1", i, dataset.label[i]);
      checker.require(i == static_cast<std::size_t>(begin) || dataset.timestamp[i - 1] <= dataset.timestamp[i],
                      "timestamp[{}]: is earlier than the one before of the same user", i);
    }
  }
}

void check_splits(const Dataset& dataset, const Checker& checker) {
  std::vector<std::uint8_t> split_of(dataset.user.size(), 3);  // 3: in none
  for (std::size_t s = 0; s < dataset.splits.size(); ++s) {
    checker.require(!dataset.splits[s].empty(), "splits/{}: the split is empty", kSplitNames[s]);
    for (std::size_t k = 0; k < dataset.splits[s].size(); ++k) {
      const std::int64_t row = dataset.splits[s][k];
      checker.require(row >= 0 && row < dataset.interactions(), "splits/{}[{}]: {} is none of {} interactions", kSplitNames[s], k,
                      row, dataset.interactions());
      auto& before = split_of[static_cast<std::size_t>(row)];
      checker.require(before == 3, "splits/{}[{}]: interaction {} is in a split already", kSplitNames[s], k, row);
      before = static_cast<std::uint8_t>(s);
    }
  }
  std::unordered_set<std::int64_t> explained;
  for (std::size_t r = 0; r < dataset.reasons.size(); ++r) {
    const std::int64_t row = dataset.reasons[r].row;
    checker.require(explained.insert(row).second, "reasons[{}]: row {} has one already", r, row);
    checker.require(row >= 0 && row < dataset.interactions() && split_of[static_cast<std::size_t>(row)] == 0,
                    "reasons[{}]: row {} is no train interaction", r, row);
  }
}

}  // namespace

Split parse_split(std::string_view name) {
  for (std::size_t s = 0; s < kSplitNames.size(); ++s) {
    if (name == kSplitNames[s]) return static_cast<Split>(s);
  }
  fail(ExitCode::kConfig, "there is no split '{}'; the splits are {}", name, joined(kSplitNames, ", "));
}

std::int64_t Dataset::history_begin(std::int64_t row, std::int64_t limit) const {
  THINKREC_CHECK(row >= 0 && row < interactions() && limit >= 0, "row {} of {}, limit {}", row, interactions(), limit);
  const std::int64_t first = user_begin[static_cast<std::size_t>(user[static_cast<std::size_t>(row)])];
  return limit == 0 ? first : std::max(first, row - limit);
}

std::string Dataset::hash() const {
  std::string text = "thinkrec data set 1\n";
  append_text(text, name);
  append_text(text, noun.singular);
  append_text(text, noun.plural);
  append_text(text, fmt::format("{}", threshold));
  append_text(text, source_hash);
  std::string names;
  for (const Item& one : items) {
    append_text(names, one.id);
    append_text(names, one.title);
    append_text(names, one.keywords);
  }
  append_text(text, sha256_hex(names));
  names.clear();
  for (const std::string& one : users) append_text(names, one);
  append_text(text, sha256_hex(names));
  for (const std::string& digest : {array_hash(user), array_hash(item), array_hash(label), array_hash(timestamp),
                                    array_hash(splits[0]), array_hash(splits[1]), array_hash(splits[2])}) {
    append_text(text, digest);
  }
  return sha256_hex(text);
}

std::string Dataset::reasons_hash() const {
  std::string text = "thinkrec reasons 1\n";
  for (const Reason& reason : reasons) {
    append_text(text, std::to_string(reason.row));
    append_text(text, reason.text);
  }
  return sha256_hex(text);
}

void Dataset::check(const std::string& origin) const {
  const Checker checker(origin);
  check_names(*this, checker);
  check_interactions(*this, checker);
  check_splits(*this, checker);
}

}  // namespace thinkrec
