// calibration.json: what is chosen is read back as it was written.
#include "train/calibration.h"

#include <cmath>
#include <limits>

#include "support/testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;

constexpr const char* kHead = R"({"rows": 30, "users": 4, "share": 0.5, "encoder_weight": 1.25)";

TEST(Calibration, IsReadBackWithWhatWasTried) {
  const testing::TempFolder folder;
  const std::string path = folder.file("calibration.json");
  const Calibration made{.rows = 30,
                         .users = 4,
                         .share = 0.1,
                         .encoder_weight = 0.25,
                         .tried = {{0, 0.6, std::numeric_limits<double>::quiet_NaN()}, {0.1, 0.7, 0.65}}};
  save_calibration(path, made);
  const Calibration read = load_calibration(path);
  EXPECT_EQ(calibration_json(read), calibration_json(made));
  ASSERT_EQ(read.tried.size(), 2U);
  EXPECT_TRUE(std::isnan(read.tried[0].uauc));
  EXPECT_EQ(read.tried[1].auc, 0.7);
}

TEST(Calibration, MayLackWhatWasTried) {
  const testing::TempFolder folder;
  EXPECT_EQ(load_calibration(folder.file("none.json")).rows, 0);
  for (const char* rest : {"}", R"(, "tried": null})", R"(, "tried": []})"}) {
    const Calibration read = load_calibration(folder.put("calibration.json", std::string(kHead) + rest));
    EXPECT_EQ(read.encoder_weight, 1.25);
    EXPECT_TRUE(read.tried.empty());
  }
}

TEST(Calibration, NamesWhatIsWrongWithWhatWasTried) {
  const testing::TempFolder folder;
  const auto refused = [&](const std::string& tried, const std::string& part) {
    const std::string path = folder.put("calibration.json", std::string(kHead) + ", \"tried\": " + tried + "}");
    expect_error(ExitCode::kBadData, "calibration.json: " + part, [&] { load_calibration(path); });
  };
  refused("{}", "'tried' is no list");
  refused("3", "'tried' is no list");
  refused("[3]", "'share' in 'tried' is no number");
  refused(R"([{"share": 0, "auc": 0.5}])", "'uauc' in 'tried' is no number");
  refused(R"([{"share": 0, "auc": "half", "uauc": 0.5}])", "'auc' in 'tried' is no number");
}

}  // namespace
}  // namespace thinkrec
