#include "io/json_lines.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/csv.h"
#include "io/printable.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kDeepest = 64;
constexpr const char* kRemedy = "correct the line or remove it";

enum class Kind { kMissing, kText, kList, kInteger, kReal, kOther };

struct Member {
  Kind kind = Kind::kMissing;
  bool seen = false;
  std::vector<std::string> texts;
  double real = 0;
  std::int64_t integer = 0;

  void clear() {
    kind = Kind::kMissing;
    seen = false;
    texts.clear();
  }
};

/// Takes the parser's events of one line. False ends it; `fault` then says why, unless the parser found the fault.
class Handler {
 public:
  Handler(const std::vector<std::string>& keys, std::vector<Member>& members) : keys_(keys), members_(members) {}

  void begin() {
    for (Member& member : members_) member.clear();
    current_ = nullptr;
    depth_ = objects_ = 0;
    fault.clear();
    error_byte = 0;
  }

  bool null() { return value(Kind::kMissing); }
  bool boolean(bool) { return value(Kind::kOther); }
  bool number_integer(Json::number_integer_t number) {
    if (current_ != nullptr && depth_ == 1) {
      current_->integer = number;
      current_->real = static_cast<double>(number);
    }
    return value(Kind::kInteger);
  }
  bool number_unsigned(Json::number_unsigned_t number) {
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return number_float(static_cast<double>(number), {});
    return number_integer(static_cast<std::int64_t>(number));
  }
  bool number_float(double number, const std::string&) {
    if (current_ != nullptr && depth_ == 1) current_->real = number;
    return value(Kind::kReal);
  }
  bool string(std::string& text) {
    if (current_ != nullptr && objects_ == 0) current_->texts.push_back(std::move(text));
    return value(Kind::kText);
  }
  bool binary(Json::binary_t&) { return value(Kind::kOther); }

  bool start_object(std::size_t) {
    if (depth_ == 1) value(Kind::kOther);
    if (depth_ >= 1) ++objects_;
    return open();
  }
  bool end_object() {
    if (objects_ > 0) --objects_;
    return close();
  }
  bool start_array(std::size_t) {
    if (depth_ == 0) return refuse("not a JSON object");
    if (depth_ == 1) value(Kind::kList);
    return open();
  }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (depth_ != 1) return true;
    const auto found = std::find(keys_.begin(), keys_.end(), name);
    current_ = found == keys_.end() ? nullptr : &members_[static_cast<std::size_t>(found - keys_.begin())];
    if (current_ == nullptr) return true;
    if (current_->seen) return refuse(fmt::format("the key '{}' is there twice", name));
    current_->seen = true;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const Json::exception&) {
    error_byte = byte;
    return false;
  }

  std::string fault;
  std::size_t error_byte = 0;

 private:
  bool value(Kind kind) {
    if (depth_ == 0) return refuse("not a JSON object");
    if (current_ != nullptr && depth_ == 1) current_->kind = kind;
    return true;
  }
  bool open() { return ++depth_ <= kDeepest || refuse(fmt::format("nested deeper than {} levels", kDeepest)); }
  bool close() {
    --depth_;
    return true;
  }
  bool refuse(const std::string& why) {
    fault = why;
    return false;
  }

  const std::vector<std::string>& keys_;
  std::vector<Member>& members_;
  Member* current_ = nullptr;  // the wanted member whose value comes or is under way
  std::size_t depth_ = 0;
  std::size_t objects_ = 0;  // open ones inside the line's own
};

}  // namespace

struct JsonLines::State {
  LineReader lines;
  std::vector<std::string> keys;
  std::vector<Member> members;
  std::string line;

  State(const std::string& path, std::vector<std::string> wanted)
      : lines(path), keys(std::move(wanted)), members(keys.size()), handler(keys, members) {}

  Handler handler;

  [[noreturn]] void wrong(std::size_t key, const char* what) const {
    fail(ExitCode::kBadData, "{}:{}: {} '{}'{}; {}", lines.path(), lines.line_number(),
         members[key].kind == Kind::kMissing ? "there is no" : "the value of", keys[key],
         members[key].kind == Kind::kMissing ? "" : fmt::format(" is not {}", what), kRemedy);
  }
};

JsonLines::JsonLines(const std::string& path, std::vector<std::string> keys)
    : state_(std::make_unique<State>(path, std::move(keys))) {}

JsonLines::~JsonLines() = default;

bool JsonLines::next() {
  State& state = *state_;
  do {
    if (!state.lines.next(state.line)) return false;
  } while (state.line.find_first_not_of(" \t\r") == std::string::npos);
  Handler& handler = state.handler;
  handler.begin();
  if (Json::sax_parse(state.line, &handler)) return true;
  if (!handler.fault.empty()) fail(ExitCode::kBadData, "{}: {}; {}", place(), handler.fault, kRemedy);
  const std::size_t from = std::min(handler.error_byte > 20 ? handler.error_byte - 20 : 0, state.line.size());
  fail(ExitCode::kBadData, "{}: not valid JSON at byte {}, after '{}'; {}", place(), handler.error_byte,
       printable(std::string_view(state.line).substr(from, std::min<std::size_t>(handler.error_byte, 20))), kRemedy);
}

const std::string& JsonLines::text(std::size_t key) const {
  const Member& member = state_->members.at(key);
  if (member.kind != Kind::kText) state_->wrong(key, "a text");
  return member.texts.front();
}

const std::vector<std::string>& JsonLines::texts(std::size_t key) const {
  const Member& member = state_->members.at(key);
  if (member.kind != Kind::kText && member.kind != Kind::kList && member.kind != Kind::kMissing)
    state_->wrong(key, "a text or a list of texts");
  return member.texts;
}

double JsonLines::real(std::size_t key) const {
  const Member& member = state_->members.at(key);
  if (member.kind != Kind::kInteger && member.kind != Kind::kReal) state_->wrong(key, "a number");
  return member.real;
}

std::int64_t JsonLines::integer(std::size_t key) const {
  const Member& member = state_->members.at(key);
  if (member.kind == Kind::kInteger) return member.integer;
  constexpr double kExact = 9007199254740992.0;  // 2^53: whole numbers up to it are exact as doubles
  const bool whole = member.kind == Kind::kReal && std::floor(member.real) == member.real && std::abs(member.real) <= kExact;
  if (!whole) state_->wrong(key, "a whole number");
  return static_cast<std::int64_t>(member.real);
}

std::string JsonLines::place() const { return fmt::format("{}:{}", state_->lines.path(), state_->lines.line_number()); }
const std::string& JsonLines::path() const { return state_->lines.path(); }

}  // namespace thinkrec
