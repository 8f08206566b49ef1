#include "data/formats/raw_builder.h"

#include <limits>

#include "core/error.h"
#include "core/utf8.h"
#include "data/formats/fields.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

std::int32_t checked_number(std::size_t size, const CsvReader& file) {
  if (size >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail(ExitCode::kBadData, "{}: more than {} users or items", file.place(), std::numeric_limits<std::int32_t>::max());
  }
  return static_cast<std::int32_t>(size);
}

void check_id(const CsvReader& file, const char* what, std::string_view id) {
  if (id.empty())
    fail(ExitCode::kBadData, "{}: the {} id is empty; give the {} an id or remove the line", file.place(), what, what);
  if (!is_utf8(id))
    fail(ExitCode::kBadData, "{}: the {} id is not UTF-8; convert the file, for example with iconv", file.place(), what);
}

}  // namespace

void RawBuilder::add_item(const CsvReader& file, std::string id, std::string title, std::string keywords, std::string profile) {
  check_id(file, "item", id);
  if (items_path_.empty()) items_path_ = file.place().substr(0, file.place().rfind(':'));
  const auto [where, is_new] = items_.emplace(id, checked_number(raw_.items.size(), file));
  if (!is_new)
    fail(ExitCode::kBadData, "{}: item {} is listed a second time; remove one of the two lines", file.place(), in_quotes(id));
  if (title.empty()) {
    ++raw_.untitled_items;
    title = id;
  } else if (options_.strip_year) {
    title = strip_year(title);
  }
  raw_.items.push_back({std::move(id), std::move(title), std::move(keywords), std::move(profile)});
}

std::int32_t RawBuilder::user(const CsvReader& file, std::string_view id) {
  if (const auto found = users_.find(id); found != users_.end()) return found->second;
  check_id(file, "user", id);
  const std::int32_t number = checked_number(raw_.users.size(), file);
  users_.emplace(std::string(id), number);
  raw_.users.emplace_back(id);
  return number;
}

std::int32_t RawBuilder::item(const CsvReader& file, std::string_view id) {
  if (const auto found = items_.find(id); found != items_.end()) return found->second;
  if (options_.unknown_items == UnknownItems::kDrop) return -1;
  if (options_.unknown_items == UnknownItems::kKeep) return add_unlisted(file, id);
  fail(ExitCode::kBadData, "{}: item {} is not in {}; add it there, or say by --unknown-items what becomes of such interactions",
       file.place(), in_quotes(id), items_path_.empty() ? "the items file" : items_path_);
}

std::int32_t RawBuilder::add_unlisted(const CsvReader& file, std::string_view id) {
  check_id(file, "item", id);
  const std::int32_t number = checked_number(raw_.items.size(), file);
  items_.emplace(std::string(id), number);
  raw_.items.push_back({std::string(id), std::string(id), "", ""});
  ++raw_.unlisted_items;
  return number;
}

void RawBuilder::add_rating(std::int32_t user, std::int32_t item, double rating, std::int64_t timestamp) {
  raw_.user.push_back(user);
  raw_.item.push_back(item);
  raw_.rating.push_back(rating);
  raw_.timestamp.push_back(timestamp);
}

void RawBuilder::add_rating(const CsvReader& file, std::string_view user_id, std::string_view item_id, double rating,
                            std::int64_t timestamp) {
  const std::int32_t number = item(file, item_id);
  if (number < 0) {
    ++raw_.dropped_interactions;
  } else {
    add_rating(user(file, user_id), number, rating, timestamp);
  }
}

RawData RawBuilder::finish(const std::vector<std::string>& paths) {
  if (raw_.user.empty()) {
    fail(ExitCode::kBadData, "{}: there are no interactions{}", paths.front(),
         raw_.dropped_interactions > 0 ? fmt::format(" left: all {} are of unknown items", raw_.dropped_interactions) : "");
  }
  raw_.source_hash = hash_files(paths);
  return std::move(raw_);
}

std::string read_items_csv(RawBuilder& builder, const PrepareOptions& options, const std::string& id_column) {
  const std::string path = find_plain_or_gzip(options.input, "items.csv");
  const ColumnNames& names = options.columns;
  CsvReader file(path, {});
  const std::size_t id = find_column(file, names.item, id_column, "--item-column");
  const std::size_t title = find_column(file, names.title, "title", "--title-column");
  const auto keywords = find_optional_column(file, names.keywords, "keywords", "--keywords-column");
  const auto category = find_optional_column(file, names.category, "category", "--category-column");
  const auto description = find_optional_column(file, names.description, "description", "--description-column");
  while (file.next()) {
    const std::string kind = category ? read_text(file, *category) : "";
    std::string words;
    if (keywords) words = normalize_keywords(read_text(file, *keywords));
    if (words.empty()) words = normalize_keywords(kind);
    builder.add_item(file, std::string(file.field(id)), read_text(file, title), std::move(words),
                     item_profile(kind, description ? read_text(file, *description) : ""));
  }
  return path;
}

}  // namespace thinkrec
