#include "io/bounded_json.h"

#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "io/file.h"
#include "io/printable.h"

namespace thinkrec {

using Json = nlohmann::json;

namespace {

/// Refuses what the tree would hide: a key that is there twice, and depth. A syntax error ends it without a word: the parser of the tree
/// says where it is. (As a callback of that parser it would take time as the square of an object's members.)
class Watch : public nlohmann::json_sax<Json> {
 public:
  Watch(const std::string& place, int deepest) : place_(place), deepest_(static_cast<std::size_t>(deepest)) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second)
      fail(ExitCode::kBadData, "{}: the key '{}' is there twice in one object", place_, printable(name));
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  bool open() {
    if (keys_.size() >= deepest_) fail(ExitCode::kBadData, "{}: nested deeper than {} levels", place_, deepest_);
    keys_.emplace_back();
    return true;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  const std::string& place_;
  const std::size_t deepest_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open; a list has none
};

}  // namespace

Json parse_json_object(std::string_view text, const std::string& place, int deepest) {
  Watch watch(place, deepest);
  Json::sax_parse(text, &watch);
  try {
    Json json = Json::parse(text);
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
