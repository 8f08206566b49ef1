#include "core/error.h"
#include "core/joined.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/raw_builder.h"

namespace thinkrec {
namespace {

const CsvFormat kTabs = {.separator = '\t', .separator_text = {}, .quotes = false, .header = true};

/// The one NAME.inter of the folder.
std::string find_inter(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".inter") found.push_back(entry.path().filename().string());
  }
  if (error) fail(ExitCode::kNoInput, "{}: the folder cannot be read: {}", folder, error.message());
  if (found.empty())
    fail(ExitCode::kNoInput, "{}: there is no .inter file; point --input at the folder with NAME.inter and NAME.item", folder);
  std::sort(found.begin(), found.end());
  if (found.size() > 1)
    fail(ExitCode::kBadData, "{}: there are several .inter files: {}; keep one data set a folder", folder, joined(found, ", "));
  return (std::filesystem::path(folder) / found[0]).string();
}

/// The first of some usual names; RecBole's data sets do not agree on one.
std::optional<std::size_t> find_usual(const CsvReader& file, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto found = find_optional_column(file, "", name, "", true)) return found;
  }
  return std::nullopt;
}

void read_items(const std::string& path, const PrepareOptions& options, RawBuilder& builder) {
  CsvReader file(path, kTabs);
  const ColumnNames& names = options.columns;
  const std::size_t id = find_column(file, names.item, "item_id", "--item-column", true);
  auto title = names.title.empty() ? find_usual(file, {"movie_title", "title", "item_name", "name"}) : std::nullopt;
  if (!title) title = find_column(file, names.title, "title", "--title-column", true);
  auto keywords = find_optional_column(file, names.keywords, "keywords", "--keywords-column", true);
  if (!keywords && names.category.empty()) keywords = find_usual(file, {"class", "genre", "genres", "categories", "category"});
  if (!keywords) keywords = find_optional_column(file, names.category, "category", "--category-column", true);
  const auto description = find_optional_column(file, names.description, "description", "--description-column", true);
  const bool words = keywords && file.columns()[*keywords].ends_with(":token_seq");
  while (file.next()) {
    std::string text;
    if (keywords) {
      text = read_text(file, *keywords);
      // A sequence of tokens is separated by spaces, unless whoever made the file kept commas or bars.
      const bool spaces = words && text.find_first_of(",|") == std::string::npos;
      text = normalize_keywords(text, spaces ? KeywordSeparator::kSpace : KeywordSeparator::kCommaOrBar);
    }
    builder.add_item(file, std::string(file.field(id)), read_text(file, *title), std::move(text),
                     description ? item_profile("", read_text(file, *description)) : "");
  }
}

}  // namespace

RawData read_recbole(const PrepareOptions& options) {
  const std::string path = find_inter(options.input);
  const std::string items_path = std::filesystem::path(path).replace_extension(".item").string();
  std::error_code ignored;
  if (!std::filesystem::exists(items_path, ignored)) {
    fail(ExitCode::kNoInput, "{}: is not there; the titles of the items come from it", items_path);
  }
  RawBuilder builder(options);
  read_items(items_path, options, builder);
  CsvReader file(path, kTabs);
  const ColumnNames& names = options.columns;
  const std::size_t user = find_column(file, names.user, "user_id", "--user-column", true);
  const std::size_t item = find_column(file, names.item, "item_id", "--item-column", true);
  const std::size_t rating = find_column(file, names.rating, "rating", "--rating-column", true);
  const std::size_t timestamp = find_column(file, names.timestamp, "timestamp", "--timestamp-column", true);
  while (file.next())
    builder.add_rating(file, file.field(user), file.field(item), file.real(rating), read_timestamp(file, timestamp));
  return builder.finish({path, items_path});
}

}  // namespace thinkrec
