#include "core/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <functional>

namespace thinkrec {
namespace {

std::string captured(const std::function<void()>& body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

/// The text with every digit of the time as a d.
std::string timeless(std::string text) {
  for (std::size_t at = 0; at < text.size();) {
    for (std::size_t i = at; i < at + 8 && i < text.size(); ++i) {
      if (std::isdigit(static_cast<unsigned char>(text[i])) != 0) text[i] = 'd';
    }
    at = std::min(text.find('\n', at), text.size() - 1) + 1;
  }
  return text;
}

TEST(Log, RankZeroPrintsTimeLevelAndMessage) {
  init_log("thinkrec_x", 0);
  const auto text = captured([] {
    log_info("loss {:.2f}", 0.5);
    log_warning("careful: {}", "{}");
  });
  EXPECT_EQ(timeless(text), "dd:dd:dd info loss 0.50\ndd:dd:dd warning careful: {}\n");
}

TEST(Log, OtherRanksPrintWarningsWithTheirRank) {
  init_log("thinkrec_x", 3);
  const auto text = captured([] {
    log_info("not shown");
    log_warning("shown");
  });
  EXPECT_EQ(timeless(text), "dd:dd:dd warning [rank 3] shown\n");
}

TEST(Log, WipesALiveLineOnce) {
  init_log("thinkrec_x", 0);
  set_live_line(true);
  const auto text = captured([] {
    log_info("a");
    log_info("b");
  });
  EXPECT_EQ(text.find("\r\x1b[K"), 0U);
  EXPECT_EQ(text.find("\x1b", 3), std::string::npos);
}

}  // namespace
}  // namespace thinkrec
