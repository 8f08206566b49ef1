#include <ATen/ATen.h>

#include "encoders_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;

template <class Change>
void expect_refused(const std::string& option, const Change& change) {
  EncoderConfig config;
  check_encoder_config(config);
  change(config);
  expect_error(ExitCode::kConfig, "encoder." + option, [&] { check_encoder_config(config); });
}

TEST(EncoderConfig, RefusesWhatMakesNoSense) {
  expect_refused("kind", [](auto& c) { c.kind = "bert"; });
  expect_refused("width", [](auto& c) { c.width = 0; });
  expect_refused("blocks", [](auto& c) { c.blocks = -1; });
  expect_refused("heads", [](auto& c) { c.heads = 3; });
  expect_refused("heads", [](auto& c) { c.heads = 0; });
  expect_refused("max_length", [](auto& c) { c.max_length = 0; });
  expect_refused("layers", [](auto& c) { c.layers = -1; });
  expect_refused("ridge", [](auto& c) { c.ridge = 0; });
  expect_refused("dropout", [](auto& c) { c.dropout = 1; });
  expect_refused("dropout", [](auto& c) { c.dropout = std::nan(""); });
  expect_refused("learning_rate", [](auto& c) { c.learning_rate = 0; });
  expect_refused("weight_decay", [](auto& c) { c.weight_decay = -1; });
  expect_refused("averaging", [](auto& c) { c.averaging = 1; });
  expect_refused("batch", [](auto& c) { c.batch = 0; });
  expect_refused("max_epochs", [](auto& c) { c.max_epochs = 0; });
  expect_refused("patience", [](auto& c) { c.patience = 0; });
}

TEST(TrainEncoder, RefusesEmptySplits) {
  for (int split : {0, 1}) {
    Dataset dataset = testing::taste_dataset(10, 5, 10, 1);
    dataset.splits[split].clear();
    expect_error(ExitCode::kBadData, split == 0 ? "no train rows" : "no valid rows",
                 [&] { testing::trained(testing::small_config("mf"), dataset); });
  }
}

}  // namespace
}  // namespace thinkrec
