#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/build_info.h"
#include "core/error.h"
#include "core/log.h"
#include "io/bounded_json.h"
#include "io/file.h"
#include "io/hdf5.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::int64_t kSchema = 1;
constexpr const char* kStateFile = "state.h5";
constexpr const char* kManifestFile = "MANIFEST.json";

/// The one text of a manifest. It carries its own check, so that a flipped bit in it is noticed too.
std::string manifest_text(const Json& manifest) {
  return Json{{"manifest", manifest}, {"sha256", sha256_hex(manifest.dump())}}.dump(1) + "\n";
}

std::string encode(const Checkpoint& checkpoint) {
  Hdf5Writer writer;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    const StoredTensor& tensor = checkpoint.tensors[i];
    names.push_back(tensor.name);
    if (!std::all_of(tensor.values.begin(), tensor.values.end(), [](float value) { return std::isfinite(value); }))
      fail(ExitCode::kDiverged, "step {}: '{}' holds NaN or infinity; it was not saved", checkpoint.step, tensor.name);
    writer.write(fmt::format("tensors/{}", i), std::span<const float>(tensor.values), tensor.shape);
  }
  writer.write("names", std::span<const std::string>(names));
  writer.attribute("step", checkpoint.step);
  writer.attribute("facts", checkpoint.facts.dump());
  return writer.finish();
}

Checkpoint decode(std::string bytes, const std::string& label) {
  const Hdf5Reader reader = Hdf5Reader::from_bytes(std::move(bytes), label);
  Checkpoint checkpoint;
  checkpoint.step = reader.int_attribute("step");
  checkpoint.facts = Json::parse(reader.text_attribute("facts"), nullptr, false);
  if (checkpoint.facts.is_discarded()) fail(ExitCode::kBadData, "{}: 'facts' is no JSON", label);
  const auto names = reader.strings("names");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string place = fmt::format("tensors/{}", i);
    checkpoint.tensors.push_back({names[i], reader.shape(place), reader.floats(place)});
  }
  return checkpoint;
}

}  // namespace

CheckpointStore::CheckpointStore(std::string folder, Identity identity, int keep_last, int ranks)
    : folder_(std::move(folder)), identity_(std::move(identity)), keep_last_(std::max(1, keep_last)), ranks_(ranks) {}

std::vector<std::int64_t> CheckpointStore::steps() const {
  std::vector<std::int64_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-")) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + 5, end, step);
    if (error == std::errc() && rest == end) found.push_back(step);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void CheckpointStore::save(const Checkpoint& checkpoint) const {
  const fs::path done = folder_of(checkpoint.step);
  const fs::path staging = done.string() + ".tmp";
  make_folder(folder_);
  std::error_code error;
  fs::remove_all(staging, error);
  const std::string image = encode(checkpoint);
  Json manifest = {
      {"schema", kSchema},
      {"step", checkpoint.step},
      {"files", {{kStateFile, {{"bytes", image.size()}, {"xxh3_128", xxh3_128_hex(image)}, {"sha256", sha256_hex(image)}}}}},
      {"written_by", {{"version", program_version()}, {"commit", program_commit()}, {"ranks", ranks_}}},
      {"identity", Json::object()}};
  for (const auto& [name, value] : identity_) manifest["identity"][name] = value;
  try {
    make_folder(staging.string());
    write_file_synced((staging / kStateFile).string(), image);
    write_file_synced((staging / kManifestFile).string(), manifest_text(manifest));
    sync_folder(staging.string());
  } catch (const Error&) {
    fs::remove_all(staging, error);  // on a full disk the next save needs the room
    throw;
  }
  const bool first = !fs::exists(done);
  try {
    // The same step again, or one that was damaged, is swapped out and never removed first: it may be all there is.
    replace_synced(staging.string(), done.string());
  } catch (const Error&) {
    // Of a swap that failed half-way one of the two is whole, and the next start finds out which.
    if (first && !fs::exists(done)) fs::remove_all(staging, error);
    throw;
  }
  fs::remove_all(staging, error);
  // Training that is at this step has gone back behind later ones: they could not be read.
  const auto all = steps();
  const auto now = std::find(all.begin(), all.end(), checkpoint.step) - all.begin();
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(all.size()); ++i) {
    if (i > now || i <= now - keep_last_) fs::remove_all(folder_of(all[static_cast<std::size_t>(i)]), error);
  }
}

Checkpoint CheckpointStore::load(const std::string& path) const {
  const std::string manifest_path = (fs::path(path) / kManifestFile).string(),
                    state_path = (fs::path(path) / kStateFile).string();
  const Json wrapped = read_json_object(manifest_path, 1 << 20);
  const Json& manifest = json_member(wrapped, "manifest");
  if (!manifest.is_object() || read_file(manifest_path) != manifest_text(manifest))
    fail(ExitCode::kBadData, "{}: damaged", manifest_path);
  const Json& schema = json_member(manifest, "schema");
  if (schema != kSchema) {
    throw Error(ExitCode::kConfig,
                fmt::format("{}: schema {} was written by another version of thinkrec; this one reads schema {}", manifest_path,
                            schema.dump(), kSchema));
  }
  const Json& files = json_member(manifest, "files");
  const Json& facts = files.is_object() ? json_member(files, kStateFile) : Json();
  const auto damaged = [&] { fail(ExitCode::kBadData, "{}: damaged (its bytes are not those of the manifest)", state_path); };
  std::error_code unknown;
  const std::uint64_t size = fs::file_size(state_path, unknown);  // read_file says why it is not known
  if (!facts.is_object() || !json_member(facts, "bytes").is_number_unsigned()) damaged();
  if (!unknown && json_member(facts, "bytes") != size) damaged();
  std::string image = read_file(state_path, json_member(facts, "bytes").get<std::uint64_t>());
  if (json_member(facts, "bytes") != image.size() || json_text(facts, "xxh3_128", "", manifest_path) != xxh3_128_hex(image) ||
      json_text(facts, "sha256", "", manifest_path) != sha256_hex(image))
    damaged();
  const Json& identity = json_member(manifest, "identity");
  if (!identity.is_object()) fail(ExitCode::kBadData, "{}: no 'identity'", manifest_path);
  for (const auto& [name, value] : identity_) {
    const std::string stored = json_text(identity, name.c_str(), "", manifest_path);
    if (stored != value) {
      throw Error(ExitCode::kConfig, fmt::format("{}: belongs to another {} ({} there, {} now); use a new --run-dir", path, name,
                                                 stored.substr(0, 12), value.substr(0, 12)));
    }
  }
  Checkpoint checkpoint = decode(std::move(image), state_path);
  if (fs::path(path).filename() != fmt::format("step-{}", checkpoint.step)) {
    fail(ExitCode::kBadData, "{}: holds step {}; give the folder its name back", path, checkpoint.step);
  }
  return checkpoint;
}

std::optional<Checkpoint> CheckpointStore::load_latest() const {
  auto all = steps();
  for (; !all.empty(); all.pop_back()) {
    try {
      return load(folder_of(all.back()));
    } catch (const Error& error) {
      if (error.code() == ExitCode::kConfig) fail(ExitCode::kBadData, "{}", error.what());
      log_warning("{}; {}", error.what(),
                  all.size() > 1 ? "falling back to the one before" : "there is none before it, so this stage begins anew");
    }
  }
  return std::nullopt;
}

Checkpoint CheckpointStore::load_step(std::int64_t step) const { return load(folder_of(step)); }

std::string CheckpointStore::folder_of(std::int64_t step) const {
  return (fs::path(folder_) / fmt::format("step-{}", step)).string();
}

void CheckpointStore::clean() const {
  std::error_code ignored;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && (name.ends_with(".tmp") || name.ends_with(".tmp-old"))) leftovers.push_back(entry.path());
  }
  for (const auto& path : leftovers) fs::remove_all(path, ignored);
}

}  // namespace thinkrec
