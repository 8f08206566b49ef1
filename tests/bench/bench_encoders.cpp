// Not a test: times an epoch of each encoder on random interactions of Yelp's size. Run it alone on a quiet machine:
//   bench_encoders [KIND...]    kinds: mf lightgcn sasrec
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "encoders/encoder.h"

namespace {

using namespace thinkrec;

/// As many users, items and rows as Yelp has; items and activity follow power laws, half of the rows are likes. 5 % of the users'
/// last rows are valid.
Dataset yelp_size() {
  constexpr std::int64_t kUsers = 40617, kItems = 60014, kRows = 1640000;
  std::mt19937_64 random(1);
  const auto skewed = [&](std::int64_t size) {
    const double u = std::uniform_real_distribution<>()(random);
    return static_cast<std::int64_t>(static_cast<double>(size) * u * u);
  };
  std::vector<std::int64_t> count(kUsers);
  for (std::int64_t row = 0; row < kRows; ++row) ++count[static_cast<std::size_t>(skewed(kUsers))];
  Dataset dataset;
  dataset.name = "yelp-size";
  dataset.users.resize(kUsers);
  dataset.items.resize(kItems);
  dataset.user_begin = {0};
  for (std::int64_t user = 0; user < kUsers; ++user) {
    for (std::int64_t i = 0; i < count[static_cast<std::size_t>(user)]; ++i) {
      const bool valid = i * 20 >= count[static_cast<std::size_t>(user)] * 19;
      dataset.splits[valid ? 1 : 0].push_back(dataset.interactions());
      dataset.user.push_back(static_cast<std::int32_t>(user));
      dataset.item.push_back(static_cast<std::int32_t>(skewed(kItems)));
      dataset.label.push_back(random() % 2);
      dataset.timestamp.push_back(i);
    }
    dataset.user_begin.push_back(dataset.interactions());
  }
  return dataset;
}

void time_epochs(const std::string& name, const Dataset& dataset) {
  EncoderConfig config;
  config.kind = name;
  config.max_epochs = 2;
  config.warm_start = false;
  config.batch = 8192;
  const auto alone = make_solo_collectives();
  auto last = std::chrono::steady_clock::now();
  const auto lap = [&] {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last).count();
    last = now;
    return seconds;
  };
  // Rising verdicts: the last epoch is kept.
  double verdict = 0, scoring = 0;
  train_encoder(
      config, dataset, *alone, [&](std::span<const double>) { return verdict += 1; },
      [&](const EncoderProgress& progress) {
        fmt::print("{:9} epoch {}: {:6.1f} s with everything before it\n", name, progress.epoch, lap());
        std::fflush(stdout);
      });
  scoring = lap();
  fmt::print("{:9} the rest: {:6.1f} s\n", name, scoring);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names(argv + 1, argv + argc);
  if (names.empty()) names = {"mf", "lightgcn", "sasrec"};
  const Dataset dataset = yelp_size();
  fmt::print("{} threads, {} train rows, batch 8192\n", at::get_num_threads(), dataset.rows(Split::kTrain).size());
  for (const std::string& name : names) time_epochs(name, dataset);
}
