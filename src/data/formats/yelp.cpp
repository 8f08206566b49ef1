#include "core/error.h"
#include "data/formats/dates.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/html_text.h"
#include "data/formats/reviews.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

enum BusinessKey : std::size_t { kId, kName, kCategories, kCity };

std::int64_t read_date(const JsonLines& file, std::size_t key) {
  const std::string& text = file.text(key);
  if (const auto time = parse_date(text)) return *time;
  fail(ExitCode::kBadData, "{}: the date {} is not of the form YYYY-MM-DD HH:MM:SS; correct the line or remove it", file.place(),
       in_quotes(text));
}

/// The city is the first keyword: the last categories may be one too many.
Item read_business(const JsonLines& file) {
  Item item;
  for (const std::string& name : file.texts(kName)) item.title = plain_text(name);
  std::string words;
  for (const std::size_t key : {kCity, kCategories}) {
    for (const std::string& text : file.texts(key)) words += plain_text(text) + "|";
  }
  item.keywords = normalize_keywords(words);
  std::string kinds;
  for (const std::string& text : file.texts(kCategories)) kinds += (kinds.empty() ? "" : ", ") + plain_text(text);
  item.profile = item_profile(kinds, "");
  return item;
}

}  // namespace

RawData read_yelp(const PrepareOptions& options) {
  const ReviewFormat format = {
      "user_id", "business_id", "stars", "date", read_date, {"business_id", "name", "categories", "city"}, read_business};
  const std::string items = find_plain_or_gzip(options.input, "yelp_academic_dataset_business.json");
  const std::string reviews = find_plain_or_gzip(options.input, "yelp_academic_dataset_review.json");
  RawData raw = read_reviews(options, reviews, items, format);
  raw.noun = Noun{"business", "businesses"};
  return raw;
}

}  // namespace thinkrec
