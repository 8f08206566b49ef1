#include "core/error.h"
#include "core/log.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/raw_builder.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

struct SplitRow {
  std::int64_t row;    // the column: global (user, time) order
  std::int64_t index;  // record of its file, from 0
  std::int64_t timestamp;
  std::int32_t user, item;
  std::uint8_t label, split;
};

std::uint8_t read_label(const CsvReader& file, std::size_t column) {
  const std::int64_t label = file.integer(column);
  if (label != 0 && label != 1) fail(ExitCode::kBadData, "{}: the label is {}; it must be 0 or 1", file.place(), label);
  return static_cast<std::uint8_t>(label);
}

void read_split(const std::string& path, std::uint8_t split, const ColumnNames& names, RawBuilder& builder,
                std::vector<SplitRow>& rows) {
  CsvReader file(path, {});
  const std::size_t row = find_column(file, "", "row", "renaming it to 'row' in the file");
  const std::size_t user = find_column(file, names.user, "user_id", "--user-column");
  const std::size_t item = find_column(file, names.item, "item_id", "--item-column");
  const std::size_t label = find_column(file, names.rating, "label", "--rating-column");
  const std::size_t timestamp = find_column(file, names.timestamp, "timestamp", "--timestamp-column");
  std::int64_t index = 0;
  for (; file.next(); ++index) {
    rows.push_back({file.integer(row), index, read_timestamp(file, timestamp), builder.user(file, file.field(user)),
                    builder.item(file, file.field(item)), read_label(file, label), split});
  }
  if (index == 0)
    fail(ExitCode::kBadData, "{}: the {} split is empty; every split needs at least one row", path, kSplitNames[split]);
}

/// Refuses two rows of one number, a user in two places, and a user whose time runs backwards. Splits that do are warned of.
void check_order(const std::vector<SplitRow>& rows, const RawBuilder& builder, const std::array<std::string, 3>& paths) {
  const auto place = [&](const SplitRow& row) { return fmt::format("{}: row {}", paths[row.split], row.row); };
  std::vector<std::uint8_t> seen(builder.data().users.size());
  std::int64_t backwards = 0;
  std::string first_backwards;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string& user = builder.data().users[static_cast<std::size_t>(rows[i].user)];
    const bool first = i == 0 || rows[i - 1].user != rows[i].user;
    if (i > 0 && rows[i - 1].row == rows[i].row)
      fail(ExitCode::kBadData, "{} is there a second time (also in {})", place(rows[i]), paths[rows[i - 1].split]);
    if (first && seen[static_cast<std::size_t>(rows[i].user)] != 0) {
      fail(ExitCode::kBadData, "{}: the rows of user {} do not follow each other; `row` must number all rows by user, then time",
           place(rows[i]), in_quotes(user));
    }
    if (!first && rows[i - 1].timestamp > rows[i].timestamp) {
      fail(ExitCode::kBadData, "{}: user {} is at an earlier time than in row {}; `row` must number all rows by user, then time",
           place(rows[i]), in_quotes(user), rows[i - 1].row);
    }
    if (!first && rows[i - 1].split > rows[i].split && backwards++ == 0) first_backwards = place(rows[i]);
    seen[static_cast<std::size_t>(rows[i].user)] = 1;
  }
  if (backwards > 0) {
    log_warning(
        "{} rows, {} the first, follow rows of a later split of the same user: histories hold answers that are asked for in "
        "{} or {}; split by time to evaluate what comes after the training",
        backwards, first_backwards, paths[1], paths[2]);
  }
}

/// One history column of one record: as many entries as the user has earlier rows, each as `expected` says.
template <class Expected>
void check_history(const CsvReader& file, std::size_t column, std::int64_t count, Expected expected) {
  constexpr const char* kRemedy =
      "correct it, or remove the columns history_all and history_all_label: histories are built from the rows";
  const std::string_view field = file.field(column);
  std::int64_t entry = 0;
  for (std::size_t at = 0; at < field.size();) {
    if (field[at] == ' ') {
      ++at;
      continue;
    }
    const std::size_t end = std::min(field.find(' ', at), field.size());
    if (entry < count && field.substr(at, end - at) != expected(entry)) {
      fail(ExitCode::kBadData, "{}: entry {} of {} is {}, but the user's earlier rows say {}; {}", file.place(), entry + 1,
           file.columns()[column], in_quotes(field.substr(at, end - at)), in_quotes(expected(entry)), kRemedy);
    }
    ++entry;
    at = end;
  }
  if (entry != count) {
    fail(ExitCode::kBadData, "{}: {} has {} entries, but the user has {} earlier rows in the splits; {}", file.place(),
         file.columns()[column], entry, count, kRemedy);
  }
}

/// Reads a split again, now that all rows are known: long histories need not be held in memory.
void check_histories(const std::string& path, const std::vector<std::int64_t>& split, const std::vector<std::int64_t>& user_begin,
                     const RawData& raw) {
  CsvReader file(path, {});
  const auto items = find_optional_column(file, "", "history_all", ""),
             labels = find_optional_column(file, "", "history_all_label", "");
  if (!items && !labels) return;
  for (std::size_t k = 0; file.next() && k < split.size(); ++k) {
    const std::int64_t begin = user_begin[static_cast<std::size_t>(raw.user[static_cast<std::size_t>(split[k])])],
                       count = split[k] - begin;
    const auto at = [&](std::int64_t entry) { return static_cast<std::size_t>(begin + entry); };
    if (items) {
      check_history(file, *items, count, [&](std::int64_t entry) -> std::string_view {
        return raw.items[static_cast<std::size_t>(raw.item[at(entry)])].id;
      });
    }
    if (labels) {
      check_history(file, *labels, count,
                    [&](std::int64_t entry) -> std::string_view { return raw.rating[at(entry)] > 0 ? "1" : "0"; });
    }
  }
}

}  // namespace

RawData read_csv_splits(const PrepareOptions& options) {
  if (options.unknown_items != UnknownItems::kRefuse) {
    fail(ExitCode::kConfig,
         "--unknown-items drop or keep does not apply to the format 'csv': histories would no longer be those of the splits");
  }
  std::array<std::string, 3> paths;
  for (std::size_t s = 0; s < paths.size(); ++s)
    paths[s] = find_plain_or_gzip(options.input, fmt::format("{}.csv", kSplitNames[s]));
  RawBuilder builder(options);
  const std::string items_path = read_items_csv(builder, options, "item_id");
  std::vector<SplitRow> rows;
  for (std::size_t s = 0; s < paths.size(); ++s)
    read_split(paths[s], static_cast<std::uint8_t>(s), options.columns, builder, rows);
  std::stable_sort(rows.begin(), rows.end(), [](const SplitRow& a, const SplitRow& b) { return a.row < b.row; });
  check_order(rows, builder, paths);

  for (const SplitRow& row : rows) builder.add_rating(row.user, row.item, row.label, row.timestamp);
  RawData raw = builder.finish({paths[0], paths[1], paths[2], items_path});
  raw.labelled = true;
  std::vector<std::int64_t> user_begin(raw.users.size());
  for (const SplitRow& row : rows) raw.splits[row.split].push_back(0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    raw.splits[rows[i].split][static_cast<std::size_t>(rows[i].index)] = static_cast<std::int64_t>(i);
    if (i == 0 || rows[i - 1].user != rows[i].user)
      user_begin[static_cast<std::size_t>(rows[i].user)] = static_cast<std::int64_t>(i);
  }
  for (std::size_t s = 0; s < paths.size(); ++s) check_histories(paths[s], raw.splits[s], user_begin, raw);
  return raw;
}

}  // namespace thinkrec
