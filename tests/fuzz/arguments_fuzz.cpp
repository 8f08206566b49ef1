// Command lines, against the tables of two programs (one with positional arguments): arguments with a byte 0x1e between them. What is read
// is asked for by every getter. --help and its kin print; they are left out.
#include <vector>

#include "app/programs.h"
#include "core/options.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thinkrec;
  std::string_view input = fuzz::text_of(data, size);
  if (input.find("help") != input.npos || input.find("version") != input.npos || input.find("-h") != input.npos) return 0;
  std::vector<std::string> texts = {"program"};
  while (!input.empty()) {
    const std::size_t cut = std::min(input.find('\x1e'), input.size());
    texts.emplace_back(input.substr(0, cut));
    input.remove_prefix(std::min(cut + 1, input.size()));
  }
  std::vector<const char*> arguments;
  for (const std::string& text : texts) arguments.push_back(text.c_str());
  for (const Program* program : {&train_program(), &check_program()}) {
    fuzz::read_or_refuse([&] {
      const CommandLine line = read_command_line(*program, static_cast<int>(arguments.size()), arguments.data());
      for (const Option& option : program->options) {
        line.has(option.name);
        if (is_list(option.type)) {
          line.list(option.name);
        } else if (option.type == OptionType::kInteger) {
          if (!line.text(option.name).empty()) line.integer(option.name);
        } else if (option.type == OptionType::kReal) {
          if (!line.text(option.name).empty()) line.real(option.name);
        } else if (option.type == OptionType::kFlag) {
          line.flag(option.name);
        } else {
          line.text(option.name);
        }
      }
    });
  }
  return 0;
}
