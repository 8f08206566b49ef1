#pragma once
// JSON of unknown origin.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thinkrec {

/// The object that `text` is. Error kBadData naming `place`: not JSON (with the byte), nested deeper than `deepest`, a key given twice in
/// an object, or no object.
nlohmann::json parse_json_object(std::string_view text, const std::string& place, int deepest = 64);

/// The object in a JSON file. Error kNoInput; kBadData naming the file: longer than max_bytes, not JSON (with the byte), nested
/// deeper than 64, a key given twice in an object, or no object.
nlohmann::json read_json_object(const std::string& path, std::uint64_t max_bytes);

/// The member `key` of an object, of the type asked for; `otherwise` where it is missing or null; kBadData where it is of another
/// type.
bool json_flag(const nlohmann::json& object, const char* key, bool otherwise, const std::string& path);
std::string json_text(const nlohmann::json& object, const char* key, const std::string& otherwise, const std::string& path);

/// The member `key`, or null where it is missing.
const nlohmann::json& json_member(const nlohmann::json& object, const char* key);

}  // namespace thinkrec
