#pragma once
// What the data path costs on data of any size: the figures of docs/performance.md, measured by bench_data and held by scale_test.

#include <malloc.h>
#include <omp.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <thread>

#include "data/dataset.h"
#include "data/prompt.h"
#include "data/read_ahead.h"
#include "data/sampler.h"
#include "experts/balance.h"
#include "experts/grouping.h"
#include "experts/schedule.h"

namespace thinkrec::figures {

using Json = nlohmann::json;

/// Wall and CPU seconds, of this thread or of all, since it was made. CPU seconds do not count what else the machine does.
class Stopwatch {
 public:
  double wall() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  double cpu() const { return seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu_; }
  double all_cpu() const { return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - all_cpu_; }

 private:
  static double seconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double cpu_ = seconds_of(CLOCK_THREAD_CPUTIME_ID), all_cpu_ = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
};

/// A line of /proc/self/status in MB: "VmRSS" now, "VmHWM" at most.
inline double memory_mb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1024;
  }
  return std::nan("");
}

/// Gives freed memory back, so that what is taken from now on is seen; the highest memory counts from now on, where the kernel lets it
/// be reset.
inline void reset_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

/// A rank opens its data set. `data` is what it then holds.
inline Json open_data(const std::string& path, Dataset& data) {
  reset_memory();
  const double before = memory_mb("VmRSS");
  const Stopwatch watch;
  data = load_dataset(path);
  const double seconds = watch.wall();
  const Stopwatch hashing;
  const std::string hash = data.hash();
  return {{"open_s", seconds},
          {"hash_s", hashing.wall()},
          {"held_mb", memory_mb("VmRSS") - before},
          {"peak_mb", memory_mb("VmHWM") - before},
          {"hash", hash.substr(0, 12)}};
}

/// Tokens a CPU second, on one core: item texts and whole runs through the tokenizer, prompts from pieces. At most `rows` prompts.
inline Json tokenising(const Dataset& data, const Tokenizer& tokenizer, const PromptConfig& config, std::int64_t rows) {
  reset_memory();
  const double before = memory_mb("VmRSS");
  const PromptBuilder prompts(data, tokenizer, config);
  const std::vector<std::int64_t>& train = data.rows(Split::kTrain);
  const auto count = static_cast<std::int64_t>(train.size());
  Json out = {{"in_pieces", prompts.in_pieces()}};

  const Stopwatch first;  // every item once
  std::int64_t all_tokens = 0, longest = 0;
  for (const std::int64_t row : train) {
    const std::int64_t own = prompts.recommendation_tokens(row);
    all_tokens += own;
    longest = std::max(longest, own);
  }
  out["first_lengths_cpu_s"] = first.cpu();
  const Stopwatch again;
  std::int64_t same = 0;
  for (const std::int64_t row : train) same += prompts.recommendation_tokens(row);
  THINKREC_CHECK(same == all_tokens, "lengths changed");
  out["lengths_cpu_s"] = again.cpu();
  out["rows"] = count;
  out["mean_tokens"] = static_cast<double>(all_tokens) / static_cast<double>(count);
  out["longest_tokens"] = longest;
  out["items_mb"] = memory_mb("VmRSS") - before;

  const auto rate = [&](std::int64_t most, auto&& make) {
    const std::int64_t n = std::min(most, count);
    std::int64_t tokens = 0;
    const Stopwatch watch;
    for (std::int64_t i = 0; i < n; ++i) tokens += make(train[static_cast<std::size_t>(permuted(i, count, 3, 0, 0))]);
    return static_cast<double>(tokens) / watch.cpu();
  };
  const auto tokens_of = [](const EncodedRow& row) { return static_cast<std::int64_t>(row.token.size()); };
  out["pieces_tokens_per_cpu_s"] = rate(rows, [&](std::int64_t row) { return tokens_of(prompts.recommendation(row)); });
  out["whole_tokens_per_cpu_s"] = rate(rows / 20, [&](std::int64_t row) { return tokens_of(prompts.prompt_of_whole_runs(row)); });

  std::int64_t item_tokens = 0;
  const Stopwatch items;
  for (const Item& item : data.items)
    item_tokens +=
        static_cast<std::int64_t>(tokenizer.encode(" \"" + item.title + "\" with description: " + item.keywords).size());
  out["items_tokens_per_cpu_s"] = static_cast<double>(item_tokens) / items.cpu();
  return out;
}

/// How many of `rows` rows an epoch of steps of `batch` rows draws exactly once over all ranks, each taking its own; and what the order
/// costs.
inline Json epoch(std::int64_t rows, int ranks, std::int64_t batch) {
  reset_memory();
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(rows), 1);
  const double before = memory_mb("VmRSS");
  std::fill(seen.begin(), seen.end(), 0);
  const Sampler sampler(rows, 0, 0, batch, 5);
  double sampling = 0;
  for (std::int64_t step = 0; step * batch < rows; ++step) {
    const Stopwatch watch;
    const std::vector<Draw> draws = sampler.step(step);
    sampling += watch.cpu();
    std::vector<std::int64_t> tokens;
    for (const Draw& draw : draws) tokens.push_back(100 + draw.index % 701);
    for (int rank = 0; rank < ranks; ++rank) {  // as each rank works it out for itself
      const std::vector<int> owner = balance_rows(tokens, ranks);
      for (std::size_t i = 0; i < draws.size(); ++i) {
        const bool this_epoch = static_cast<std::int64_t>(draws[i].number) < rows;
        if (owner[i] == rank && this_epoch) ++seen[static_cast<std::size_t>(draws[i].index)];
      }
    }
  }
  return {{"ranks", ranks},
          {"rows", rows},
          {"batch", batch},
          {"rows_once", std::count(seen.begin(), seen.end(), 1)},
          {"epoch_order_cpu_s", sampling},
          {"memory_mb", memory_mb("VmRSS") - before}};
}

/// Lengths of the yardstick's rows (bench/make_yardstick.py): prompt lognormal, median 350, sigma .5, 120 to 900, with its answer; a
/// fifth of the rows with a trace of median 180, sigma .4, 60 to 400.
inline std::vector<std::int64_t> yardstick_lengths(std::size_t rows, std::mt19937_64& random) {
  std::lognormal_distribution<double> prompt(std::log(350.0), 0.5), trace(std::log(180.0), 0.4);
  std::bernoulli_distribution reason(0.2);
  std::vector<std::int64_t> lengths(rows);
  for (std::int64_t& length : lengths) {
    length = std::llround(std::clamp(prompt(random), 120.0, 900.0));
    length += reason(random) ? std::llround(std::clamp(trace(random), 60.0, 400.0)) : 1;
  }
  return lengths;
}

/// Mean over steps of mean / max tokens of a rank.
inline double balance(int ranks, std::size_t rows_a_rank, int steps) {
  std::mt19937_64 random(1);
  double efficiency = 0;
  for (int step = 0; step < steps; ++step) {
    const std::vector<std::int64_t> tokens = yardstick_lengths(static_cast<std::size_t>(ranks) * rows_a_rank, random);
    const std::vector<int> owner = balance_rows(tokens, ranks);
    std::vector<std::int64_t> load(static_cast<std::size_t>(ranks), 0);
    for (std::size_t row = 0; row < tokens.size(); ++row) load[static_cast<std::size_t>(owner[row])] += tokens[row];
    const auto all = static_cast<double>(std::accumulate(load.begin(), load.end(), std::int64_t{0}));
    efficiency += all / ranks / static_cast<double>(*std::max_element(load.begin(), load.end())) / steps;
  }
  return efficiency;
}

/// Makes the rows of steps over `ranks` ranks ahead of steps that take `step_s`, as a phase of training does on every rank; gives the
/// share of the steps' time spent waiting.
inline Json read_ahead(const PromptBuilder& prompts, const Dataset& data, int ranks, std::int64_t rows_a_rank, int steps,
                       double step_s) {
  const std::vector<std::int64_t>& train = data.rows(Split::kTrain);
  const Sampler sampler(static_cast<std::int64_t>(train.size()), 0, 0, ranks * rows_a_rank, 5);
  const auto make = [&](std::int64_t step) {
    std::vector<EncodedRow> rows;
    for (const Draw& draw : sampler.step(step))
      rows.push_back(prompts.recommendation(train[static_cast<std::size_t>(draw.index)]));
    return rows;
  };
  const Stopwatch making;
  for (int step = 0; step < 50; ++step) make(steps + step);
  const double make_s = making.cpu() / 50;
  const Stopwatch watch;
  ReadAhead<std::vector<EncodedRow>> ahead(0, steps, make);
  for (int step = 0; step < steps; ++step) {
    ahead.next();
    std::this_thread::sleep_for(std::chrono::duration<double>(step_s));
  }
  return {{"ranks", ranks},
          {"step_s", step_s},
          {"steps", steps},
          {"make_cpu_s", make_s},
          {"wait_share", ahead.waited() / watch.wall()}};
}

/// Users with tastes around `groups` centres that lie `apart` deviations apart; at 0 there are no groups to find, the hardest case.
inline std::vector<float> user_vectors(std::int64_t users, std::int64_t d, int groups, float apart) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> centres(static_cast<std::size_t>(groups * d)), out(static_cast<std::size_t>(users * d));
  for (float& value : centres) value = normal(random);
  for (std::int64_t u = 0; u < users; ++u) {
    const auto group = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(groups));
    for (std::int64_t j = 0; j < d; ++j)
      out[static_cast<std::size_t>(u * d + j)] = apart * centres[static_cast<std::size_t>(group * d + j)] + normal(random);
  }
  return out;
}

inline Json grouping(std::int64_t users, std::int64_t d, int groups, float apart, GroupingMethod method) {
  const std::vector<float> vectors = user_vectors(users, d, groups, apart);
  reset_memory();
  const double before = memory_mb("VmRSS");
  const Stopwatch watch;
  const Grouping made = group_users(vectors, users, d, groups, method, 1);
  const double seconds = watch.wall(), cpu = watch.all_cpu() / omp_get_max_threads();
  return {{"method", method == GroupingMethod::kWard ? "ward" : "kmeans"},
          {"users", users},
          {"width", d},
          {"groups", made.groups},
          {"apart", apart},
          {"seconds", seconds},
          {"cpu_s_a_thread", cpu},
          {"threads", omp_get_max_threads()},
          {"peak_mb", memory_mb("VmHWM") - before}};
}

/// The longest tokens / ranks of a team over its lower bound, all tokens / all ranks.
inline double makespan_over_bound(const std::vector<std::int64_t>& tokens, const ExpertPlan& plan) {
  const auto ranks = static_cast<double>(plan.team_of_rank.size());
  double longest = 0;
  for (std::size_t team = 0; team < plan.experts_of_team.size(); ++team) {
    double own = 0;
    for (const int expert : plan.experts_of_team[team]) own += static_cast<double>(tokens[static_cast<std::size_t>(expert)]);
    const auto size = std::count(plan.team_of_rank.begin(), plan.team_of_rank.end(), static_cast<int>(team));
    longest = std::max(longest, own / static_cast<double>(size));
  }
  return longest / (static_cast<double>(std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0})) / ranks);
}

enum class GroupSizes { kUniform, kLongTailed };

/// Tokens of groups of users: uniform to a million, or lognormal as users' counts are.
inline std::vector<std::int64_t> group_tokens(std::mt19937_64& random, std::size_t groups, GroupSizes sizes) {
  std::lognormal_distribution<double> tail(10, 1.2);
  std::vector<std::int64_t> tokens(groups);
  for (auto& own : tokens)
    own = 1 + (sizes == GroupSizes::kUniform ? static_cast<std::int64_t>(random() % 1'000'000) : std::llround(tail(random)));
  return tokens;
}

/// The largest makespan / lower bound of plans over 2 to 16 groups and 1 to 64 ranks: groups of random sizes, long-tailed ones, and
/// sizes like the paper's.
inline double plans(int trials) {
  std::mt19937_64 random(3);
  double worst = 1;
  const auto check = [&](const std::vector<std::int64_t>& tokens) {
    for (int ranks = 1; ranks <= 64; ++ranks) worst = std::max(worst, makespan_over_bound(tokens, plan_experts(tokens, ranks)));
  };
  for (int trial = 0; trial < trials; ++trial) {
    const std::size_t groups = 2 + random() % 15;
    check(group_tokens(random, groups, GroupSizes::kUniform));
    check(group_tokens(random, groups, GroupSizes::kLongTailed));
  }
  check({29, 71});
  check({293, 212, 260, 235});
  return worst;
}

}  // namespace thinkrec::figures
