#include "io/bounded_json.h"

#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "io/file.h"
#include "io/printable.h"

namespace thinkrec {

using Json = nlohmann::json;

Json parse_json_object(std::string_view text, const std::string& place, int deepest) {
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= deepest) fail(ExitCode::kBadData, "{}: nested deeper than {} levels", place, deepest);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second)
        fail(ExitCode::kBadData, "{}: the key '{}' is there twice in one object", place, printable(key));
    }
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    if (!json.is_object()) fail(ExitCode::kBadData, "{}: not a JSON object", place);
    return json;
  } catch (const Json::parse_error& error) {
    fail(ExitCode::kBadData, "{}: not valid JSON at byte {}", place, error.byte);
  } catch (const Json::exception& error) {  // a number too large for a double, and the like
    fail(ExitCode::kBadData, "{}: not valid JSON: {}", place, printable(error.what()));
  }
}

Json read_json_object(const std::string& path, std::uint64_t max_bytes) {
  return parse_json_object(read_file(path, max_bytes), path);
}

const Json& json_member(const Json& object, const char* key) {
  static const Json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

bool json_flag(const Json& object, const char* key, bool otherwise, const std::string& path) {
  const Json& value = json_member(object, key);
  if (!value.is_null() && !value.is_boolean()) fail(ExitCode::kBadData, "{}: '{}' is neither true nor false", path, key);
  return value.is_null() ? otherwise : value.get<bool>();
}

std::string json_text(const Json& object, const char* key, const std::string& otherwise, const std::string& path) {
  const Json& value = json_member(object, key);
  if (!value.is_null() && !value.is_string()) fail(ExitCode::kBadData, "{}: '{}' is not a text", path, key);
  return value.is_null() ? otherwise : value.get<std::string>();
}

}  // namespace thinkrec
