// The data set as one HDF5 file. A reader of another schema version refuses it: guessing would train on the wrong columns.

#include <algorithm>

#include "core/error.h"
#include "data/dataset.h"
#include "io/file.h"
#include "io/hdf5.h"

namespace thinkrec {
namespace {

constexpr const char* kSchema = "thinkrec data set";
constexpr std::int64_t kSchemaVersion = 1;
constexpr const char* kProfiles = "items/profile";  // only where the raw data had more to say than titles and keywords

/// One text of every element, as a column of the file.
template <class Element>
std::vector<std::string> column(const std::vector<Element>& elements, std::string Element::*field) {
  std::vector<std::string> texts;
  texts.reserve(elements.size());
  for (const Element& element : elements) texts.push_back(element.*field);
  return texts;
}

template <class Element>
void fill(std::vector<Element>& elements, std::string Element::*field, const Hdf5Reader& file, const std::string& path,
          const std::string& name) {
  std::vector<std::string> texts = file.strings(name);
  if (texts.size() != elements.size()) {
    fail(ExitCode::kBadData, "{}: '{}' has {} values where there are {}; make the file again with thinkrec_prepare", path, name,
         texts.size(), elements.size());
  }
  for (std::size_t i = 0; i < texts.size(); ++i) elements[i].*field = std::move(texts[i]);
}

void check_schema(const Hdf5Reader& file, const std::string& path) {
  const std::string schema = file.text_attribute("schema");
  if (schema != kSchema)
    fail(ExitCode::kBadData, "{}: 'schema' is '{}', not '{}': the file is no data set", path, schema, kSchema);
  const std::int64_t version = file.int_attribute("schema_version");
  if (version != kSchemaVersion) {
    fail(ExitCode::kBadData,
         "{}: 'schema_version' is {}, and this program reads version {}; make the file again with its thinkrec_prepare", path,
         version, kSchemaVersion);
  }
}

}  // namespace

void save_dataset(const Dataset& dataset, const std::string& path) {
  dataset.check(path);
  Hdf5Writer file;
  file.attribute("schema", kSchema);
  file.attribute("schema_version", kSchemaVersion);
  file.attribute("name", dataset.name);
  file.attribute("noun_singular", dataset.noun.singular);
  file.attribute("noun_plural", dataset.noun.plural);
  file.attribute("source_hash", dataset.source_hash);
  file.write("threshold", std::vector<double>{dataset.threshold});
  file.write("items/id", column(dataset.items, &Item::id));
  file.write("items/title", column(dataset.items, &Item::title));
  file.write("items/keywords", column(dataset.items, &Item::keywords));
  const auto profiled = [](const Item& item) { return !item.profile.empty(); };
  if (std::any_of(dataset.items.begin(), dataset.items.end(), profiled))
    file.write(kProfiles, column(dataset.items, &Item::profile));
  file.write("users", dataset.users);
  file.write("interactions/user", dataset.user);
  file.write("interactions/item", dataset.item);
  file.write("interactions/label", dataset.label);
  file.write("interactions/timestamp", dataset.timestamp);
  file.write("user_begin", dataset.user_begin);
  for (std::size_t s = 0; s < kSplitNames.size(); ++s) file.write(fmt::format("splits/{}", kSplitNames[s]), dataset.splits[s]);
  std::vector<std::int64_t> rows;
  for (const Reason& reason : dataset.reasons) rows.push_back(reason.row);
  file.write("reasons/row", rows);
  file.write("reasons/text", column(dataset.reasons, &Reason::text));
  file.write("reasons/provenance", column(dataset.reasons, &Reason::provenance));
  write_file_atomic(path, file.finish());
}

Dataset load_dataset(const std::string& path) {
  const Hdf5Reader file = Hdf5Reader::open(path);
  check_schema(file, path);
  Dataset dataset;
  dataset.name = file.text_attribute("name");
  dataset.noun = {file.text_attribute("noun_singular"), file.text_attribute("noun_plural")};
  dataset.source_hash = file.text_attribute("source_hash");
  const std::vector<double> threshold = file.doubles("threshold");
  if (threshold.size() != 1) fail(ExitCode::kBadData, "{}: 'threshold' has {} values instead of 1", path, threshold.size());
  dataset.threshold = threshold[0];
  std::vector<std::string> ids = file.strings("items/id");
  dataset.items.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) dataset.items[i].id = std::move(ids[i]);
  fill(dataset.items, &Item::title, file, path, "items/title");
  fill(dataset.items, &Item::keywords, file, path, "items/keywords");
  if (file.has(kProfiles)) fill(dataset.items, &Item::profile, file, path, kProfiles);
  dataset.users = file.strings("users");
  dataset.user = file.int32s("interactions/user");
  dataset.item = file.int32s("interactions/item");
  dataset.label = file.bytes("interactions/label");
  dataset.timestamp = file.int64s("interactions/timestamp");
  dataset.user_begin = file.int64s("user_begin");
  for (std::size_t s = 0; s < kSplitNames.size(); ++s) dataset.splits[s] = file.int64s(fmt::format("splits/{}", kSplitNames[s]));
  const std::vector<std::int64_t> rows = file.int64s("reasons/row");
  dataset.reasons.resize(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) dataset.reasons[r].row = rows[r];
  fill(dataset.reasons, &Reason::text, file, path, "reasons/text");
  fill(dataset.reasons, &Reason::provenance, file, path, "reasons/provenance");
  dataset.check(path);
  return dataset;
}

}  // namespace thinkrec
