// Command lines, against the tables of two programs (one with positional arguments) and a table with every type and range of option:
// arguments with a byte 0x1e between them. What is read is asked for by every getter. What --help and its kin print goes to /dev/null.
#include <vector>

#include "app/programs.h"
#include "core/options.h"
#include "fuzz_input.h"

namespace {

using namespace thinkrec;

const Program& every_type() {
  using enum OptionType;
  static const Program kThis = {{"fuzz", "Has every type of option.", "fuzz [options]"},
                                {{"text", kText, "", "", "", "free text"},
                                 {"integer", kInteger, "20_000", "(-inf, 1e6)", "rows", "an integer"},
                                 {"real", kReal, "0.5", "(0, 1]", "s", "a number"},
                                 {"least", kReal, "", ">= 0", "", "a number without a default"},
                                 {"most", kInteger, "", "< 10", "", "an integer without a default"},
                                 {"flag", kFlag, "false", "", "", "true or false"},
                                 {"choice", kChoice, "one", "choices one|two|three", "", "one of three words"},
                                 {"path", kPath, "", "", "", "a file"},
                                 {"words", kTextList, "one, two", "choices one|two|three", "", "some of three words"},
                                 {"reals", kRealList, "[0.5, 1]", "[0, inf)", "", "numbers"}}};
  return kThis;
}

void ask(const CommandLine& line, const Option& option) {
  line.has(option.name);
  if (is_list(option.type)) {
    line.list(option.name);
    return;
  }
  line.text(option.name);
  if (option.type == OptionType::kFlag) line.flag(option.name);
  if (option.type == OptionType::kInteger) fuzz::read_or_refuse([&] { line.integer(option.name); });
  if (option.type == OptionType::kInteger || option.type == OptionType::kReal)
    fuzz::read_or_refuse([&] { line.real(option.name); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = std::freopen("/dev/null", "w", stdout) != nullptr;
  if (!quiet) std::abort();
  std::string_view input = fuzz::text_of(data, size);
  std::vector<std::string> texts = {"program"};
  while (!input.empty()) {
    const std::size_t cut = std::min(input.find('\x1e'), input.size());
    texts.emplace_back(input.substr(0, cut));
    input.remove_prefix(std::min(cut + 1, input.size()));
  }
  std::vector<const char*> arguments;
  for (const std::string& text : texts) arguments.push_back(text.c_str());
  for (const Program* program : {&train_program(), &check_program(), &every_type()}) {
    fuzz::read_or_refuse([&] {
      const CommandLine line = read_command_line(*program, static_cast<int>(arguments.size()), arguments.data());
      for (const Option& option : program->options) ask(line, option);
    });
  }
  return 0;
}
