#include "eval/score_file.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "core/error.h"
#include "io/csv.h"

namespace thinkrec {
namespace {

/// FILE[:MODEL]; a model may have a colon of its own ("expert:1"), a folder too.
std::pair<std::string, std::string> split_name(const std::string& text) {
  const std::size_t slash = text.rfind('/'), colon = text.find(':', slash == std::string::npos ? 0 : slash);
  if (colon == std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

ScoreFile sorted_by_row(const ScoreFile& file, const std::string& path) {
  std::vector<std::size_t> order(file.row.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return file.row[a] < file.row[b]; });
  ScoreFile sorted;
  sorted.name = file.name;
  for (const std::size_t i : order) {
    if (!sorted.row.empty() && sorted.row.back() == file.row[i])
      fail(ExitCode::kBadData, "{}: row {} comes twice; write the file again with thinkrec_eval --scores", path, file.row[i]);
    sorted.row.push_back(file.row[i]);
    sorted.user.push_back(file.user[i]);
    sorted.label.push_back(file.label[i]);
    sorted.score.push_back(file.score[i]);
  }
  return sorted;
}

/// The places in `file` of the rows in `rows`, both ascending.
std::vector<std::size_t> places(const ScoreFile& file, const std::vector<std::int64_t>& rows) {
  std::vector<std::size_t> found;
  std::size_t at = 0;
  for (const std::int64_t row : rows) {
    while (file.row[at] != row) ++at;
    found.push_back(at);
  }
  return found;
}

}  // namespace

ScoreFile read_score_file(const std::string& file_and_model) {
  const auto [path, model] = split_name(file_and_model);
  CsvReader reader(path, {});
  const std::size_t row = reader.column("row"), user = reader.column("user"), label = reader.column("label");
  const std::size_t score = model.empty() ? reader.columns().size() - 1 : reader.column(model);
  ScoreFile file;
  file.name = path + ":" + reader.columns()[score];
  while (reader.next()) {
    const std::int64_t liked = reader.integer(label);
    if (liked != 0 && liked != 1) fail(ExitCode::kBadData, "{}: label {} is neither 0 nor 1", reader.place(), liked);
    file.row.push_back(reader.integer(row));
    file.user.emplace_back(reader.field(user));
    file.label.push_back(static_cast<std::uint8_t>(liked));
    file.score.push_back(reader.real(score));
  }
  if (file.row.empty()) fail(ExitCode::kBadData, "{} has no rows; write it again with thinkrec_eval --scores", path);
  return sorted_by_row(file, path);
}

std::vector<ScoreFile> counting_baselines(std::span<const ScoreFile> files) {
  std::vector<ScoreFile> baselines;
  if (files.empty()) return baselines;
  const std::string path = split_name(files[0].name).first;
  const std::vector<std::string> columns = CsvReader(path, {}).columns();
  for (const char* model : {"item_mean", "logistic"}) {
    const std::string name = path + ":" + model;
    const bool there = std::find(columns.begin(), columns.end(), model) != columns.end();
    if (there && std::none_of(files.begin(), files.end(), [&](const ScoreFile& file) { return file.name == name; }))
      baselines.push_back(read_score_file(name));
  }
  return baselines;
}

Comparison compare_scores(std::span<const ScoreFile> files, int k, int resamples, std::uint64_t seed) {
  if (files.size() < 2) fail(ExitCode::kUsage, "--compare needs two files of scores or more, separated by commas");
  std::vector<std::int64_t> common = files[0].row;
  for (const ScoreFile& file : files.subspan(1)) {
    std::vector<std::int64_t> both;
    std::set_intersection(common.begin(), common.end(), file.row.begin(), file.row.end(), std::back_inserter(both));
    common = std::move(both);
  }
  if (common.empty())
    fail(ExitCode::kBadData, "the files of scores have no row in common: score the same split of the same data set");

  Comparison out;
  std::vector<ScoredRows> scored;
  for (const ScoreFile& file : files) {
    const std::vector<std::size_t> own = places(file, common), first = places(files[0], common);
    std::unordered_map<std::string, std::int32_t> id_of_user;
    ScoredRows rows;
    for (std::size_t i = 0; i < common.size(); ++i) {
      if (file.user[own[i]] != files[0].user[first[i]] || file.label[own[i]] != files[0].label[first[i]])
        fail(ExitCode::kBadData, "row {} of {} and of {} differ in user or label: they are of different data sets", common[i],
             files[0].name, file.name);
      rows.user.push_back(id_of_user.try_emplace(file.user[own[i]], static_cast<std::int32_t>(id_of_user.size())).first->second);
      rows.label.push_back(file.label[own[i]]);
      rows.score.push_back(file.score[own[i]]);
    }
    ComparedScores model{.name = file.name,
                         .metrics = ranking_metrics(rows, k),
                         .intervals = user_bootstrap(rows, k, resamples, seed),
                         .difference = paired_bootstrap(rows, scored.empty() ? rows : scored[0], k, resamples, seed)};
    out.rows = model.metrics.rows;
    out.users = model.metrics.users;
    out.models.push_back(std::move(model));
    scored.push_back(std::move(rows));
  }
  return out;
}

}  // namespace thinkrec
