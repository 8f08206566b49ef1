#include "report/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "core/log.h"
#include "report/table.h"

namespace thinkrec {
namespace {

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(0), "0.0 s");
  EXPECT_EQ(format_duration(0.44), "0.4 s");
  EXPECT_EQ(format_duration(9.94), "9.9 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(185), "3 min 05 s");
  EXPECT_EQ(format_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(format_duration(7620), "2 h 07 min");
  EXPECT_EQ(format_duration(86399), "1 d 00 h");
  EXPECT_EQ(format_duration(273600), "3 d 04 h");
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300})
    EXPECT_EQ(format_duration(bad), "-");
}

TEST(Progress, RateForgetsTheStartAndHasNoBias) {
  RateMeter meter(30);
  EXPECT_EQ(meter.rate(), 0);
  meter.add(10, 2);
  EXPECT_NEAR(meter.rate(), 5, 1e-12);
  for (int i = 0; i < 300; ++i) meter.add(1, 1);
  EXPECT_NEAR(meter.rate(), 1, 1e-3);
  meter.add(1, -5);
  meter.add(1, std::nan(""));
  EXPECT_NEAR(meter.rate(), 1, 1e-3) << "a clock that goes backwards is ignored";
}

TEST(Progress, TimeLeftIsRightAfterATenth) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> noise(0.7, 1.3);
  RateMeter meter;
  double rest = 0;
  for (int step = 1; step <= 1000; ++step) {
    const double seconds = 0.5 * noise(random) + (step == 1 ? 8 : 0);  // the first step warms up
    if (step == 1) continue;                                           // and only sets the start, as in Progress
    if (step <= 100) meter.add(1, seconds);
    if (step > 100) rest += seconds;
  }
  EXPECT_NEAR(900 / meter.rate(), rest, 0.15 * rest);
}

TEST(Progress, LineFitsItsWidth) {
  const auto line = progress_line("activate", 50, 100, "loss 0.412, 380 rows/s", 10, 100);
  EXPECT_EQ(line.find("activate ["), 0U);
  EXPECT_NE(line.find("50/100  loss 0.412, 380 rows/s  ETA 5.0 s"), std::string::npos);
  const auto bar = line.substr(line.find('[') + 1, line.find(']') - line.find('[') - 1);
  EXPECT_EQ(bar, "===============>                ");
  for (int width = 1; width < 140; ++width) {
    for (const std::int64_t done : {0, 1, 50, 100, 120}) {
      EXPECT_LE(display_width(progress_line("activate/テキスト", done, 100, "loss 0.412", 3, width)),
                static_cast<std::size_t>(width));
    }
  }
  EXPECT_EQ(progress_line("a", 7, 0, "x", 5, 80), "a  7  x") << "an unknown total has neither bar nor time left";
  EXPECT_EQ(progress_line("a", 100, 100, "", 5, 80).find("ETA"), std::string::npos);
}

TEST(Progress, TimeLeftHoldsWhatIsNoStep) {
  EXPECT_NE(progress_line("a", 50, 100, "", 10, 80).find("ETA 5.0 s"), std::string::npos);
  EXPECT_NE(progress_line("a", 50, 100, "", 10, 80, {.steps = 20, .seconds = 3}).find("ETA 10 s"), std::string::npos);
  init_log("test", 0);
  testing::internal::CaptureStderr();
  {
    Progress progress("stage", 1000, true);
    const auto start = std::chrono::steady_clock::now();
    const auto wait = [](int ms) { ::usleep(static_cast<useconds_t>(1000 * ms)); };
    progress.update(0, "");
    for (int step = 1; step <= 20; ++step) {
      wait(2);
      if (step % 5 == 0) {
        wait(100);
        progress.no_step();
      }
      progress.update(step, "");
    }
    const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_LT(20 / progress.rate(), all - 0.3) << "the four waits of 0.1 s are not the steps'";
  }
  testing::internal::GetCapturedStderr();
}

TEST(Progress, PlainLinesAreFew) {
  init_log("test", 0);
  testing::internal::CaptureStderr();
  {
    Progress progress("expert/0", 1000, true);
    for (int step = 1; step <= 1000; ++step) progress.update(step, "loss 0.5");
    progress.finish();
    progress.finish();
    progress.update(1001, "late");
  }
  const auto text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_NE(text.find("info expert/0  1/1000  (0 %)  loss 0.5\n"), std::string::npos) << text;
  EXPECT_NE(text.find("info expert/0  1000/1000  loss 0.5  in 0.0 s\n"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Progress, OtherRanksAreSilent) {
  testing::internal::CaptureStderr();
  Progress progress("a", 10, false);
  progress.update(1, "");
  progress.finish();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Progress, LiveLineOnATerminal) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) GTEST_SKIP() << "no pseudo-terminal here";
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  ASSERT_GE(slave, 0);
  const int saved = dup(STDERR_FILENO);
  dup2(slave, STDERR_FILENO);
  init_log("test", 0);
  {
    Progress progress("stage", 10, true);
    progress.update(1, "loss 0.5");
    log_info("a message");
    progress.update(2, "loss 0.4");
    progress.finish();
  }
  {
    Progress left("left", 10, true);
    left.update(1, "");
  }
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(slave);
  std::string text;  // what was written arrives in pieces; once the terminal is closed, reading ends with an error
  for (char piece[512];;) {
    const auto count = read(master, piece, sizeof piece);
    if (count <= 0) break;
    text.append(piece, static_cast<std::size_t>(count));
  }
  close(master);
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text.find("\r\x1b[Kstage ["), 0U) << text;
  EXPECT_NE(text.find("\r\x1b[K", 4), std::string::npos) << "the message wipes the live line";
  EXPECT_NE(text.find("info a message"), std::string::npos);
  EXPECT_NE(text.find("info stage  2/10  loss 0.4  in "), std::string::npos) << text;
  EXPECT_EQ(text.back(), '\n') << "an unfinished line is closed";
}

}  // namespace
}  // namespace thinkrec
