// PyPI's tensorboard reads what TensorBoardWriter wrote. Skipped (code 77) where it is not installed.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "support/testing.h"
#include "report/tensorboard.h"

namespace thinkrec {
namespace {

TEST(TensorBoardOracle, ReadsTheSameScalars) {
  const char* chosen = std::getenv("THINKREC_ORACLE_PYTHON");
  const std::string python = chosen != nullptr ? chosen : THINKREC_DEPS_DIR "/oracles/bin/python";
  const testing::TempFolder folder;
  std::string wanted;
  {
    TensorBoardWriter writer(folder.file("events"), true);
    for (int step = 1; step <= 2000; ++step) {
      const double loss = 1.0 / step;
      writer.write("activate/text", step, {{"loss", loss}, {"tokens_per_s", 1000 + step}});
      wanted += fmt::format("activate/text/loss {} {:.6f}\n", step, static_cast<float>(loss));
    }
    for (int step = 1; step <= 2000; ++step)
      wanted += fmt::format("activate/text/tokens_per_s {} {}.000000\n", step, 1000 + step);
  }
  const auto command = fmt::format("'{}' '{}/tests/report/tensorboard_oracle.py' '{}' > '{}' 2> '{}'", python,
                                   THINKREC_SOURCE_DIR, folder.file("events"), folder.file("out"), folder.file("err"));
  const int status = std::system(command.c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 77 || code == 126 || code == 127)
    GTEST_SKIP() << "tensorboard cannot be imported by " << python << "; launch/setup.sh --oracles installs it";
  ASSERT_EQ(code, 0) << folder.read("err");
  EXPECT_EQ(folder.read("out"), wanted);
}

}  // namespace
}  // namespace thinkrec

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int code = RUN_ALL_TESTS();
  return code == 0 && testing::UnitTest::GetInstance()->skipped_test_count() > 0 ? 77 : code;
}
