#include "core/command_line.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <new>

#include "core/error.h"
#include "core/option_documents.h"
#include "core/run_program.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram{"thinkrec_x", "does x to y", "thinkrec_x --config R.yaml [options]"};

OptionTable table() {
  return {{"config", OptionType::kPath, "", "", "", "the recipe"},
          {"run-dir", OptionType::kPath, "run", "", "", "where everything is written"},
          {"steps", OptionType::kInteger, "10", ">= 1", "steps", "how long"},
          {"rate", OptionType::kReal, "0.5", "(-2, 1]", "", "how fast"},
          {"dry-run", OptionType::kFlag, "false", "", "", "only say what would be done"},
          {"mode", OptionType::kChoice, "off", "choices off|fast|strict", "", "how exactly"},
          {"set", OptionType::kTextList, "", "", "", "overrides one option of the recipe"},
          {"weights", OptionType::kRealList, "1, 2", ">= 0", "", "weights"}};
}

CommandLine parse(std::vector<const char*> arguments, const ProgramInfo& program = kProgram) {
  arguments.insert(arguments.begin(), "thinkrec_x");
  return CommandLine(program, table(), static_cast<int>(arguments.size()), arguments.data());
}

std::string error_of(const std::vector<const char*>& arguments) {
  try {
    parse(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(CommandLine, DefaultsAndGivenValues) {
  const auto line = parse({"--config", "a.yaml", "--steps=25", "--rate", "-1.5", "--dry-run", "--mode=strict"});
  EXPECT_FALSE(line.finished());
  EXPECT_EQ(line.text("config"), "a.yaml");
  EXPECT_EQ(line.text("run-dir"), "run");
  EXPECT_EQ(line.integer("steps"), 25);
  EXPECT_EQ(line.real("rate"), -1.5);
  EXPECT_EQ(line.real("steps"), 25.0);
  EXPECT_TRUE(line.flag("dry-run"));
  EXPECT_EQ(line.text("mode"), "strict");
  EXPECT_TRUE(line.has("steps"));
  EXPECT_FALSE(line.has("run-dir"));
  EXPECT_EQ(line.list("weights"), (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(line.list("set").empty());
}

TEST(CommandLine, FlagsTakeAValueOnlyWhenAttached) {
  EXPECT_FALSE(parse({"--dry-run=false"}).flag("dry-run"));
  EXPECT_FALSE(parse({}).flag("dry-run"));
  EXPECT_TRUE(parse({"--dry-run", "--steps", "3"}).flag("dry-run"));
  EXPECT_NE(error_of({"--dry-run", "false"}).find("unexpected argument 'false'"), std::string::npos);
}

TEST(CommandLine, RepeatedListsCollect) {
  const auto line = parse({"--set", "a.b=c", "--set=d=e,f", "--weights", "3,4", "--weights=5"});
  EXPECT_EQ(line.list("set"), (std::vector<std::string>{"a.b=c", "d=e,f"}));
  EXPECT_EQ(line.list("weights"), (std::vector<std::string>{"3", "4", "5"}));
}

TEST(CommandLine, ErrorsNameTheOptionAndTheRemedy) {
  EXPECT_EQ(error_of({"--run-dri", "x"}), "unknown option --run-dri (did you mean --run-dir?) (see --help)");
  EXPECT_EQ(error_of({"--conf", "x"}).find("unknown option --conf"), 0U) << "no guessing from prefixes";
  EXPECT_EQ(error_of({"--bananas=3"}), "unknown option --bananas (see --help)");
  EXPECT_EQ(error_of({"--steps", "0"}), "--steps must be >= 1, got 0");
  EXPECT_EQ(error_of({"--steps", "x"}), "--steps must be an integer, got 'x'");
  EXPECT_EQ(error_of({"--mode", "slow"}), "--mode must be one of off, fast, strict, got 'slow'");
  EXPECT_EQ(error_of({"--steps", "1", "--steps", "2"}), "--steps is given more than once");
  EXPECT_NE(error_of({"--steps"}).find("steps"), std::string::npos);
  EXPECT_EQ(error_of({"--steps="}), "--steps needs a value, and nothing follows the = (see --help)");
  EXPECT_EQ(error_of({"--step="}).find("unknown option --step (did you mean --steps?)"), 0U);
  EXPECT_EQ(error_of({"--%original_token%="}).find("unknown option --%original_token%"), 0U);  // found by tests/fuzz
  EXPECT_EQ(error_of({"--%original_token%"}).find("unknown option --%original_token%"), 0U);
  EXPECT_NE(error_of({"--run-dir", "--steps", "3"}).find("--run-dir needs a value, and --steps follows"), std::string::npos);
  EXPECT_EQ(parse({"--run-dir=--x"}).text("run-dir"), "--x");
  EXPECT_NE(error_of({"-x"}).find("unexpected argument '-x'"), std::string::npos);
  EXPECT_NE(error_of({"file"}).find("unexpected argument 'file'"), std::string::npos);
  EXPECT_NE(error_of({"--weights=1,-1"}).find("--weights must be >= 0"), std::string::npos);
}

TEST(CommandLine, RequiredOptions) {
  const auto line = parse({});
  EXPECT_EQ(line.required("run-dir"), "run");
  try {
    line.required("config");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_STREQ(error.what(), "--config is needed: the recipe (see --help)");
  }
}

TEST(CommandLine, PositionalArgumentsWhenAskedFor) {
  ProgramInfo program = kProgram;
  program.positional = "FILE";
  const auto line = parse({"a.h5", "--steps", "2", "b.h5", "--", "--steps"}, program);
  EXPECT_EQ(line.positional(), (std::vector<std::string>{"a.h5", "b.h5", "--steps"}));
  EXPECT_EQ(line.integer("steps"), 2);
}

TEST(CommandLine, WrongGettersAreDefects) {
  const auto line = parse({});
  for (const std::function<void()>& wrong : std::vector<std::function<void()>>{
           [&] { line.text("nothing"); }, [&] { line.integer("rate"); }, [&] { line.real("mode"); }, [&] { line.flag("steps"); },
           [&] { line.list("steps"); }, [&] { line.text("set"); }, [&] { line.has("nothing"); }}) {
    try {
      wrong();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInternal);
    }
  }
}

TEST(CommandLine, HelpAndVersionGoToStandardOutput) {
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parse({"--steps", "3", "--help"}).finished());
  const auto help = testing::internal::GetCapturedStdout();
  EXPECT_EQ(help.find("thinkrec_x: does x to y\n\nUsage: thinkrec_x --config"), 0U);
  for (const auto& option : table()) {
    EXPECT_NE(help.find("--" + option.name), std::string::npos);
    EXPECT_NE(help.find(option.help), std::string::npos) << option.help;
  }
  EXPECT_NE(help.find("how long [integer >= 1, steps, default 10]"), std::string::npos);
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parse({"-h", "--nonsense"}).finished());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), help);
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parse({"--version"}).finished());
  EXPECT_EQ(testing::internal::GetCapturedStdout().find("thinkrec_x 0."), 0U);
}

TEST(CommandLine, HelpComesInOtherFormats) {
  const auto printed = [](const char* format) {
    testing::internal::CaptureStdout();
    EXPECT_TRUE(parse({"--nonsense", "--help-format", format}).finished());
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(printed("man"), man_page(kProgram, table()));
  EXPECT_EQ(printed("markdown"), markdown_section(kProgram, table()));
  EXPECT_EQ(printed("completion"), bash_completion(kProgram, table()));
  EXPECT_EQ(error_of({"--help-format=mann"}),
            "--help-format must be one of man, markdown, completion, got 'mann' (did you mean 'man'?)");
  EXPECT_NE(error_of({"--help-format"}).find("help-format"), std::string::npos);
  EXPECT_EQ(error_of({"--help-fromat", "man"}), "unknown option --help-fromat (did you mean --help-format?) (see --help)");
  EXPECT_EQ(error_of({"--help=maybe"}), "--help must be true or false, got 'maybe'");
}

TEST(CommandLine, HelpKeepsToItsWidth) {
  auto options = table();
  options[0].help = std::string("many words ") + std::string(300, 'w') +
                    std::string(" and more of them to wrap around the edge of a terminal line");
  for (int i = 0; i < 20; ++i) options[1].help += " and so on";
  const auto help = help_text(kProgram, options);
  std::size_t long_lines = 0;
  for (std::size_t at = 0; at < help.size();) {
    const auto end = help.find('\n', at);
    long_lines += end - at > 100 ? 1 : 0;
    at = end + 1;
  }
  EXPECT_EQ(long_lines, 1U) << "only the word that no line can hold";
}

struct Outcome {
  int code;
  std::string text;
};

Outcome outcome(const std::function<int()>& body) {
  testing::internal::CaptureStderr();
  const int code = run_program("thinkrec_x", body);
  return {code, testing::internal::GetCapturedStderr()};
}

TEST(RunProgram, TurnsExceptionsIntoLinesAndCodes) {
  EXPECT_EQ(outcome([] { return 5; }).code, 5);
  const auto data = outcome([]() -> int { fail(ExitCode::kBadData, "a.csv:3: {}", "no user"); });
  EXPECT_EQ(data.code, 65);
  EXPECT_EQ(data.text, "thinkrec_x: error: a.csv:3: no user\n");
  const auto lines = outcome([]() -> int { fail(ExitCode::kConfig, "r:1:1: a\nr:2:1: b"); });
  EXPECT_EQ(lines.code, 78);
  EXPECT_EQ(lines.text, "thinkrec_x: error: r:1:1: a\nthinkrec_x: error: r:2:1: b\n");
  const auto memory = outcome([]() -> int { throw std::bad_alloc(); });
  EXPECT_EQ(memory.code, 70);
  EXPECT_NE(memory.text.find("out of memory"), std::string::npos);
  const auto other = outcome([]() -> int { throw std::runtime_error("odd"); });
  EXPECT_EQ(other.code, 70);
  EXPECT_NE(other.text.find("unexpected: odd"), std::string::npos);
  EXPECT_EQ(outcome([]() -> int { throw 3; }).code, 70);
}

TEST(RunProgram, PassesTheArgumentsOn) {
  char name[] = "x";
  char argument[] = "y";
  char* argv[] = {name, argument, nullptr};
  EXPECT_EQ(run_program("thinkrec_x", 2, argv, [](int argc, char** values) { return argc * 10 + (values[1][0] == 'y' ? 1 : 0); }),
            21);
}

TEST(RunProgram, TellsOfOutputThatWasLost) {
  const auto flush = [] {
    flush_output();
    return 0;
  };
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full < 0) GTEST_SKIP() << "/dev/full cannot be written here";
  ASSERT_EQ(outcome(flush).code, 0);
  const int kept = ::dup(STDOUT_FILENO);
  ::dup2(full, STDOUT_FILENO);
  std::fputs("lost", stdout);
  const auto now = outcome(flush);
  ::dup2(kept, STDOUT_FILENO);
  const auto before = outcome(flush);  // there is room again, but not what was lost
  std::clearerr(stdout);
  ::close(kept);
  ::close(full);
  for (const Outcome& lost : {now, before}) {
    EXPECT_EQ(lost.code, 74);
    EXPECT_EQ(lost.text, "thinkrec_x: error: standard output cannot be written\n");
  }
  EXPECT_EQ(outcome(flush).code, 0);
}

}  // namespace
}  // namespace thinkrec
