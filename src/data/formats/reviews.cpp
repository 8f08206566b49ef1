#include "data/formats/reviews.h"

#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/log.h"
#include "data/formats/fields.h"
#include "data/formats/raw_builder.h"
#include "data/interaction_filter.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

constexpr std::int32_t kNotInFile = std::numeric_limits<std::int32_t>::max();

class ReviewReader {
 public:
  ReviewReader(const PrepareOptions& options, const ReviewFormat& format) : options_(options), format_(format) {}

  RawData read(const std::string& reviews_path, const std::string& items_path) {
    read_reviews(reviews_path);
    choose_items();
    read_items(items_path);
    settle_unlisted(reviews_path, items_path);
    order_items();
    raw_.source_hash = hash_files({reviews_path, items_path});
    return std::move(raw_);
  }

 private:
  void read_reviews(const std::string& path) {
    JsonLines file(path, {format_.user, format_.item, format_.rating, format_.time});
    std::int64_t reviews = 0;
    for (; file.next(); ++reviews) {
      const std::int64_t time = format_.read_time(file, 3);
      const double rating = file.real(2);
      const std::string &user = checked_id(file, 0), &item = checked_id(file, 1);
      if ((options_.window_start && time < *options_.window_start) || (options_.window_end && time >= *options_.window_end))
        continue;
      raw_.user.push_back(number(file, users_, user, [&] { raw_.users.push_back(user); }));
      raw_.item.push_back(number(file, items_, item, [&] { add_item(item, reviews + 1); }));
      raw_.rating.push_back(rating);
      raw_.timestamp.push_back(time);
    }
    log_info("{}: {} reviews, {} of them inside the window", path, reviews, raw_.user.size());
    if (reviews == 0) fail(ExitCode::kBadData, "{}: there are no reviews", path);
    if (raw_.user.empty()) {
      fail(ExitCode::kBadData, "{}: none of {} reviews is inside the window; change --window-start and --window-end", path,
           reviews);
    }
  }

  static const std::string& checked_id(const JsonLines& file, std::size_t key) {
    const std::string& id = file.text(key);
    if (id.empty()) fail(ExitCode::kBadData, "{}: an id is empty; correct the line or remove it", file.place());
    return id;
  }

  template <class Add>
  static std::int32_t number(const JsonLines& file, TextIndex& index, const std::string& id, Add add) {
    const auto found = index.find(id);
    if (found != index.end()) return found->second;
    if (index.size() + 1 >= static_cast<std::size_t>(kNotInFile))
      fail(ExitCode::kBadData, "{}: more than {} users or items", file.place(), kNotInFile - 1);
    const auto fresh = static_cast<std::int32_t>(index.size());
    index.emplace(id, fresh);
    add();
    return fresh;
  }

  void add_item(const std::string& id, std::int64_t review) {
    raw_.items.push_back({id, "", "", ""});
    first_review_.push_back(review);
    position_.push_back(kNotInFile);
  }

  /// Texts are read of the items that will be in the data set. When unknown items are dropped, which those are is known only
  /// after the items file.
  void choose_items() {
    wanted_.assign(raw_.items.size(), options_.unknown_items == UnknownItems::kDrop || options_.keep_unrated_items ? 1 : 0);
    if (options_.unknown_items == UnknownItems::kDrop) return;
    for (const std::int64_t row : kept_interactions(raw_, options_))
      wanted_[static_cast<std::size_t>(raw_.item[static_cast<std::size_t>(row)])] = 1;
  }

  void read_items(const std::string& path) {
    JsonLines file(path, format_.item_keys);
    std::int32_t line = 0;
    for (; file.next(); ++line) {
      const std::string& id = checked_id(file, 0);
      if (!options_.keep_unrated_items && !items_.contains(id)) continue;
      const auto item = static_cast<std::size_t>(number(file, items_, id, [&] {
        add_item(id, 0);
        wanted_.push_back(1);
      }));
      take_item(file, item, line);
    }
    if (line == 0) fail(ExitCode::kBadData, "{}: there are no items", path);
  }

  /// The first record of an item counts; a later one mends a missing title.
  void take_item(const JsonLines& file, std::size_t item, std::int32_t line) {
    const bool again = position_[item] != kNotInFile;
    if (!again) position_[item] = line;
    if (wanted_[item] == 0) return;
    if (again) ++raw_.relisted_items;
    if (again && !raw_.items[item].title.empty()) return;
    Item read = format_.read_item(file);
    raw_.items[item].title = options_.strip_year ? strip_year(read.title) : std::move(read.title);
    if (!read.keywords.empty()) raw_.items[item].keywords = std::move(read.keywords);
    if (!read.profile.empty()) raw_.items[item].profile = std::move(read.profile);
  }

  void settle_unlisted(const std::string& reviews_path, const std::string& items_path) {
    for (std::size_t i = 0; i < raw_.items.size(); ++i) {
      if (wanted_[i] == 0) continue;
      const bool listed = position_[i] != kNotInFile;
      if (!listed && options_.unknown_items == UnknownItems::kRefuse) {
        fail(ExitCode::kBadData,
             "{}: item {} of review {} is not in {}; add it there, or say by --unknown-items what becomes of such interactions",
             reviews_path, in_quotes(raw_.items[i].id), first_review_[i], items_path);
      }
      if (!raw_.items[i].title.empty()) continue;
      raw_.items[i].title = raw_.items[i].id;
      ++(listed ? raw_.untitled_items : raw_.unlisted_items);
    }
    if (options_.unknown_items == UnknownItems::kDrop) drop_unlisted(reviews_path);
  }

  void drop_unlisted(const std::string& reviews_path) {
    raw_.unlisted_items = 0;
    std::size_t kept = 0;
    for (std::size_t row = 0; row < raw_.user.size(); ++row) {
      if (position_[static_cast<std::size_t>(raw_.item[row])] == kNotInFile) continue;
      raw_.user[kept] = raw_.user[row];
      raw_.item[kept] = raw_.item[row];
      raw_.rating[kept] = raw_.rating[row];
      raw_.timestamp[kept++] = raw_.timestamp[row];
    }
    raw_.dropped_interactions = static_cast<std::int64_t>(raw_.user.size() - kept);
    if (kept == 0)
      fail(ExitCode::kBadData, "{}: no reviews are left: all {} are of unknown items", reviews_path, raw_.user.size());
    raw_.user.resize(kept);
    raw_.item.resize(kept);
    raw_.rating.resize(kept);
    raw_.timestamp.resize(kept);
  }

  /// In the order of the items file, then of their first review; without those that were dropped.
  void order_items() {
    std::vector<std::size_t> order(raw_.items.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (options_.unknown_items == UnknownItems::kDrop)
      std::erase_if(order, [&](std::size_t i) { return position_[i] == kNotInFile; });
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return position_[a] < position_[b]; });
    std::vector<Item> items(order.size());
    std::vector<std::int32_t> place(raw_.items.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      items[i] = std::move(raw_.items[order[i]]);
      place[order[i]] = static_cast<std::int32_t>(i);
    }
    raw_.items = std::move(items);
    for (std::int32_t& item : raw_.item) item = place[static_cast<std::size_t>(item)];
  }

  const PrepareOptions& options_;
  const ReviewFormat& format_;
  RawData raw_;
  TextIndex users_, items_;
  std::vector<std::int64_t> first_review_;  // of an item, from 1; 0: it has none
  std::vector<std::int32_t> position_;      // of an item in the items file
  std::vector<std::uint8_t> wanted_;        // the item's texts
};

}  // namespace

RawData read_reviews(const PrepareOptions& options, const std::string& reviews_path, const std::string& items_path,
                     const ReviewFormat& format) {
  return ReviewReader(options, format).read(reviews_path, items_path);
}

}  // namespace thinkrec
