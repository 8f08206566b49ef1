#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/raw_builder.h"

namespace thinkrec {

RawData read_ratings(const PrepareOptions& options) {
  const std::string path = find_plain_or_gzip(options.input, "interactions.csv");
  RawBuilder builder(options);
  const std::string items_path = read_items_csv(builder, options, "item");
  CsvReader file(path, {});
  const ColumnNames& names = options.columns;
  const std::size_t user = find_column(file, names.user, "user", "--user-column");
  const std::size_t item = find_column(file, names.item, "item", "--item-column");
  const std::size_t rating = find_column(file, names.rating, "rating", "--rating-column");
  const std::size_t timestamp = find_column(file, names.timestamp, "timestamp", "--timestamp-column");
  while (file.next())
    builder.add_rating(file, file.field(user), file.field(item), file.real(rating), read_timestamp(file, timestamp));
  return builder.finish({path, items_path});
}

}  // namespace thinkrec
