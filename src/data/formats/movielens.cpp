#include "core/error.h"
#include "core/joined.h"
#include "data/formats/fields.h"
#include "data/formats/formats.h"
#include "data/formats/raw_builder.h"
#include "io/printable.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

/// One generation of GroupLens' files. Columns are user, item, rating, timestamp and item, title, genres, by position in all of
/// them.
struct Release {
  const char* ratings;
  const char* items;
  CsvFormat ratings_format, items_format;
  std::vector<std::string> ratings_header, items_header;  ///< in the files with headers
  std::size_t item_fields;
};

const std::array<Release, 3>& releases() {
  static const std::array<Release, 3> kReleases = {{
      {"u.data", "u.item", {'\t', "", false, false}, {'|', "", false, false}, {}, {}, 24},
      {"ratings.dat", "movies.dat", {'\0', "::", false, false}, {'\0', "::", false, false}, {}, {}, 3},
      {"ratings.csv", "movies.csv", {}, {}, {"userId", "movieId", "rating", "timestamp"}, {"movieId", "title", "genres"}, 3},
  }};
  return kReleases;
}

/// Refuses a file of another shape: its fields are read by position. CsvReader holds the other records to the first one's width.
void check_shape(const std::string& path, const CsvFormat& format, const std::vector<std::string>& header, std::size_t fields) {
  if (format.header) {
    const CsvReader file(path, format);
    if (file.columns() == header) return;
    fail(ExitCode::kBadData, "{}:1: the columns are {}, not {}; for other tables there is --format ratings", path,
         printable(joined(file.columns(), ", ")), joined(header, ", "));
  }
  const std::string separator = format.separator != '\0' ? std::string(1, format.separator) : format.separator_text;
  LineReader lines(path);
  std::string line;
  while (lines.next(line)) {
    if (line.empty()) continue;
    std::size_t found = 1;
    for (std::size_t at = line.find(separator); at != std::string::npos; at = line.find(separator, at + separator.size()))
      ++found;
    if (found == fields) return;
    fail(ExitCode::kBadData, "{}:{}: {} fields separated by '{}', not {}; it is no MovieLens file of this name", path,
         lines.line_number(), found, separator == "\t" ? "\\t" : separator, fields);
  }
}

/// The flags of u.item, from its sixth field on; the first one, "unknown", says nothing.
constexpr std::array<const char*, 19> kGenres = {
    "",          "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",    "Documentary", "Drama",  "Fantasy",
    "Film-Noir", "Horror", "Musical",   "Mystery",   "Romance",    "Sci-Fi", "Thriller", "War",         "Western"};
constexpr std::size_t kFirstFlag = 5;

std::string flagged_genres(const CsvReader& file) {
  std::string genres;
  for (std::size_t g = 0; g < kGenres.size(); ++g) {
    const std::string_view flag = file.field(kFirstFlag + g);
    if (flag != "0" && flag != "1")
      fail(ExitCode::kBadData, "{}: the flag of genre {} is {}; it must be 0 or 1", file.place(), g, in_quotes(flag));
    if (flag == "1") genres += std::string(kGenres[g]) + ",";
  }
  return genres;
}

const Release& detect(const std::string& folder) {
  for (const Release& release : releases()) {
    std::error_code ignored;
    for (const char* ending : {"", ".gz"}) {
      if (std::filesystem::exists(std::filesystem::path(folder) / (std::string(release.ratings) + ending), ignored))
        return release;
    }
  }
  fail(ExitCode::kNoInput,
       "{}: no MovieLens files; the folder must hold u.data and u.item (100K), ratings.dat and movies.dat (1M, 10M), or "
       "ratings.csv and "
       "movies.csv (20M and later)",
       folder);
}

}  // namespace

RawData read_movielens(const PrepareOptions& options) {
  const Release& release = detect(options.input);
  const std::string path = find_plain_or_gzip(options.input, release.ratings);
  const std::string items_path = find_plain_or_gzip(options.input, release.items);
  check_shape(items_path, release.items_format, release.items_header, release.item_fields);
  check_shape(path, release.ratings_format, release.ratings_header, 4);
  RawBuilder builder(options);
  CsvReader items(items_path, release.items_format);
  while (items.next()) {
    const std::string genres = release.item_fields > 3 ? flagged_genres(items) : from_latin1(items.field(2));
    builder.add_item(items, std::string(items.field(0)), tidy(from_latin1(items.field(1))), normalize_keywords(genres), "");
  }
  CsvReader ratings(path, release.ratings_format);
  while (ratings.next())
    builder.add_rating(ratings, ratings.field(0), ratings.field(1), ratings.real(2), read_timestamp(ratings, 3));
  return builder.finish({path, items_path});
}

}  // namespace thinkrec
