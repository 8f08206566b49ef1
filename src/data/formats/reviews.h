#pragma once
// What the review sites' exports share: reviews and items as JSON objects, one a line. Reviews are read first, and only those
// inside the window are held; of the items only those that the data set keeps.

#include "data/raw_data.h"
#include "io/json_lines.h"

namespace thinkrec {

struct ReviewFormat {
  const char *user, *item, *rating, *time;  ///< keys of a review
  std::int64_t (*read_time)(const JsonLines& reviews, std::size_t key);
  std::vector<std::string> item_keys;         ///< of an item; the first is its id
  Item (*read_item)(const JsonLines& items);  ///< title, keywords, profile; an empty title is a missing one
};

/// kBadData with file:line for what is wrong, naming both files where they do not fit together.
RawData read_reviews(const PrepareOptions& options, const std::string& reviews_path, const std::string& items_path,
                     const ReviewFormat& format);

}  // namespace thinkrec
