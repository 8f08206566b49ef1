#include "synthesis/failures.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/file.h"
#include "io/json_lines.h"

namespace thinkrec {

FailureList::FailureList(std::string path) : path_(std::move(path)) {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return;
  enum Key : std::size_t { kWhat, kNumber, kWho, kWhy, kBy };
  JsonLines file(path_, {"what", "number", "who", "why", "by"});
  while (file.next()) put(file.text(kWhat), file.integer(kNumber), {file.text(kWho), file.text(kWhy), file.text(kBy)});
}

const SynthesisFailure* FailureList::find(const std::string& what, std::int64_t number) const {
  const auto found = failures_.find({what, number});
  return found == failures_.end() ? nullptr : &found->second;
}

void FailureList::put(const std::string& what, std::int64_t number, SynthesisFailure failure) {
  failures_.insert_or_assign({what, number}, std::move(failure));
}

void FailureList::drop(const std::string& what, std::int64_t number) { failures_.erase({what, number}); }

std::int64_t FailureList::count(const std::string& what) const {
  return std::count_if(failures_.begin(), failures_.end(), [&](const auto& entry) { return entry.first.first == what; });
}

void FailureList::save() const {
  std::error_code ignored;
  if (failures_.empty()) {
    std::filesystem::remove(path_, ignored);
    return;
  }
  std::string text;
  for (const auto& [key, failure] : failures_) {
    text +=
        nlohmann::json{
            {"what", key.first}, {"number", key.second}, {"who", failure.who}, {"why", failure.why}, {"by", failure.by}}
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
        "\n";
  }
  write_file_atomic(path_, text);
}

}  // namespace thinkrec
