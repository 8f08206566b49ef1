#pragma once
// MovieLens-1M in the ThinkRec split, for tests: $THINKREC_DATA/ml1m. It may not be redistributed, so tests skip without it.

#include <cstdlib>
#include <string>

#include "data/dataset.h"
#include "eval/metrics.h"
#include "io/csv.h"

namespace thinkrec::testing {

/// Empty without THINKREC_DATA.
inline std::string ml1m_folder() {
  const char* const root = std::getenv("THINKREC_DATA");
  return root != nullptr && *root != '\0' ? std::string(root) + "/ml1m" : "";
}

/// Interactions and splits; items and users as bare numbers.
inline Dataset load_ml1m() {
  Dataset dataset;
  dataset.name = "ml1m";
  CsvReader reader(ml1m_folder() + "/interactions.csv.gz", CsvFormat{});
  const std::size_t user = reader.column("user_id"), item = reader.column("item_id"), label = reader.column("label"),
                    time = reader.column("timestamp"), split = reader.column("split");
  while (reader.next()) {
    const std::int64_t row = dataset.interactions();
    dataset.user.push_back(static_cast<std::int32_t>(reader.integer(user)));
    dataset.item.push_back(static_cast<std::int32_t>(reader.integer(item)));
    dataset.label.push_back(static_cast<std::uint8_t>(reader.integer(label)));
    dataset.timestamp.push_back(reader.integer(time));
    dataset.splits[static_cast<std::size_t>(parse_split(reader.field(split)))].push_back(row);
    dataset.items.resize(std::max(dataset.items.size(), static_cast<std::size_t>(dataset.item.back()) + 1));
    dataset.users.resize(std::max(dataset.users.size(), static_cast<std::size_t>(dataset.user.back()) + 1));
  }
  dataset.user_begin.assign(dataset.users.size() + 1, 0);
  for (const std::int32_t own : dataset.user) ++dataset.user_begin[static_cast<std::size_t>(own) + 1];
  for (std::size_t u = 0; u < dataset.users.size(); ++u) dataset.user_begin[u + 1] += dataset.user_begin[u];
  return dataset;
}

inline ScoredRows scored_rows(const Dataset& dataset, const std::vector<std::int64_t>& rows, std::vector<double> score) {
  ScoredRows out;
  out.score = std::move(score);
  for (const std::int64_t row : rows) {
    out.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    out.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  return out;
}

}  // namespace thinkrec::testing

#define THINKREC_SKIP_WITHOUT_ML1M()              \
  if (::thinkrec::testing::ml1m_folder().empty()) \
  GTEST_SKIP() << "THINKREC_DATA is not set: MovieLens-1M is not part of the repository"
