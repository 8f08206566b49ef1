#include <set>

#include "core/error.h"
#include "core/joined.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/html_text.h"
#include "data/formats/reviews.h"

namespace thinkrec {
namespace {

enum ItemKey : std::size_t { kAsin, kTitle, kCategory, kBrand, kDescription };

/// Titles with a page's script in them are what the crawl left of a page without a title.
std::string clean_title(const std::vector<std::string>& titles) {
  if (titles.empty() || titles[0].find("getTime") != std::string::npos) return {};
  return plain_text(titles[0]);
}

/// "Visit Amazon's Jane Doe Page" -> "Jane Doe"
std::string clean_brand(const std::string& text) {
  constexpr std::string_view kBefore = "Visit Amazon's ", kAfter = " Page";
  std::string brand = plain_text(text);
  if (brand.starts_with(kBefore) && brand.ends_with(kAfter) && brand.size() > kBefore.size() + kAfter.size())
    brand = brand.substr(kBefore.size(), brand.size() - kBefore.size() - kAfter.size());
  return brand;
}

/// Keywords: the categories below the shop's department, and the brand, of a book its author. Profile: all categories, the description.
Item read_item(const JsonLines& file) {
  Item item;
  item.title = clean_title(file.texts(kTitle));
  const std::vector<std::string>& categories = file.texts(kCategory);
  std::string words;
  for (const std::string& brand : file.texts(kBrand)) words += clean_brand(brand) + "|";
  for (std::size_t c = categories.size() > 1 ? 1 : 0; c < categories.size(); ++c) words += plain_text(categories[c]) + "|";
  item.keywords = normalize_keywords(words);
  std::string kinds, description;
  for (const std::string& category : categories) kinds += (kinds.empty() ? "" : ", ") + plain_text(category);
  for (const std::string& text : file.texts(kDescription)) description += plain_text(text) + " ";
  item.profile = item_profile(kinds, description);
  return item;
}

struct Files {
  std::string reviews, items;
};

/// "meta_Books.json.gz" -> "meta_Books"; none for other endings.
std::optional<std::string> json_stem(std::string name) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  for (const std::string_view ending : {".json", ".jsonl"}) {
    if (name.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  }
  return std::nullopt;
}

/// The folder's meta_NAME and NAME or NAME_5.
Files find_files(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) names.insert(entry.path().filename().string());
  if (error) fail(ExitCode::kNoInput, "{}: the folder cannot be read: {}", folder, error.message());
  std::vector<std::string> reviews, items;
  for (const std::string& name : names) {
    if (!json_stem(name) || (name.ends_with(".gz") && names.contains(name.substr(0, name.size() - 3)))) continue;
    (name.starts_with("meta_") ? items : reviews).push_back(name);
  }
  for (const auto& [found, what] : {std::pair(&reviews, "reviews: NAME.json"), std::pair(&items, "metadata: meta_NAME.json")}) {
    if (found->empty())
      fail(ExitCode::kNoInput, "{}: there is no file of {}(.gz); point --input at the folder that holds it", folder, what);
    if (found->size() > 1) {
      fail(ExitCode::kBadData, "{}: there are several files of {}: {}; keep one category a folder", folder, what,
           joined(*found, ", "));
    }
  }
  const std::filesystem::path base(folder);
  return {(base / reviews[0]).string(), (base / items[0]).string()};
}

}  // namespace

RawData read_amazon(const PrepareOptions& options) {
  const ReviewFormat format = {"reviewerID",
                               "asin",
                               "overall",
                               "unixReviewTime",
                               [](const JsonLines& file, std::size_t key) { return file.integer(key); },
                               {"asin", "title", "category", "brand", "description"},
                               read_item};
  const Files files = find_files(options.input);
  RawData raw = read_reviews(options, files.reviews, files.items, format);
  if (std::filesystem::path(files.items).filename().string().starts_with("meta_Books")) raw.noun = Noun{"book", "books"};
  return raw;
}

}  // namespace thinkrec
