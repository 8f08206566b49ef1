// The index of a model whose tensors lie in several safetensors files.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "io/bounded_json.h"
#include "io/printable.h"
#include "io/safetensors.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;
constexpr std::size_t kLongestName = 255;  // of a file, on Linux' file systems

bool plain_file_of(const std::string& folder, const std::string& name) {
  if (name.empty() || name.size() > kLongestName || name.starts_with(".")) return false;
  for (const char c : name) {
    if (c == '/' || static_cast<unsigned char>(c) < 0x20) return false;  // a zero byte would end the name early
  }
  std::error_code error;
  return fs::symlink_status(fs::path(folder) / name, error).type() != fs::file_type::symlink;
}

}  // namespace

std::vector<std::string> safetensors_shards(const std::string& folder) {
  const std::string index = (fs::path(folder) / "model.safetensors.index.json").string();
  std::error_code ignored;
  if (!fs::exists(index, ignored)) return {"model.safetensors"};
  const auto json = read_json_object(index, kMostBytes);
  const auto& map = json_member(json, "weight_map");
  if (!map.is_object()) fail(ExitCode::kBadData, "{}: no 'weight_map' object", index);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : map.items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (!plain_file_of(folder, name)) {
      fail(ExitCode::kBadData, "{}: tensor '{}' points to '{}', which is not a plain file of this folder", index,
           printable(tensor), printable(name));
    }
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

SafetensorsFolder::SafetensorsFolder(const std::string& folder) : folder_(folder) {
  for (const std::string& shard : safetensors_shards(folder)) files_.emplace_back((fs::path(folder) / shard).string());
  for (std::size_t f = 0; f < files_.size(); ++f) {
    for (const auto& entry : files_[f].entries()) {
      if (!where_.emplace(entry.name, f).second) {
        fail(ExitCode::kBadData, "{}: tensor '{}' is in another shard as well", files_[f].path(), printable(entry.name));
      }
    }
  }
}

SafetensorsFolder::Place SafetensorsFolder::find(const std::string& name) const {
  const auto found = where_.find(name);
  if (found == where_.end()) return {};
  return {&files_[found->second], files_[found->second].find(name)};
}

SafetensorsFolder::Place SafetensorsFolder::place(const std::string& name) const {
  const Place found = find(name);
  if (found.entry == nullptr) fail(ExitCode::kBadData, "{}: tensor '{}' is missing", folder_, name);
  return found;
}

}  // namespace thinkrec
