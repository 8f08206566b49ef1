// Driver of tokenizer_oracle.py.
//   decode_tool PATH    JSON arrays of ids on standard input, one a line -> the bytes they stand for, as JSON strings with a character for each byte

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

std::string latin1_as_utf8(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) append_utf8(text, static_cast<unsigned char>(c));
  return text;
}

void run(const std::string& path) {
  const auto tokenizer = load_tokenizer(path);
  std::string line;
  for (std::int64_t number = 1; std::getline(std::cin, line); ++number) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_array()) fail(ExitCode::kBadData, "standard input:{}: not what is expected", number);
    std::cout << Json(latin1_as_utf8(tokenizer->decode(json.get<std::vector<std::int32_t>>()))).dump() << '\n';
  }
  if (!std::cout.flush()) fail(ExitCode::kIo, "standard output: writing failed");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: decode_tool PATH\n");
    return static_cast<int>(ExitCode::kUsage);
  }
  try {
    std::ios::sync_with_stdio(false);
    run(argv[1]);
  } catch (const Error& error) {
    std::fprintf(stderr, "decode_tool: %s\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
