#include "comm/rank_threads.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <thread>

namespace thinkrec {
namespace {

constexpr long kMostThreads = 1024;

/// Nothing on machines with more CPUs than the mask has bits.
std::optional<cpu_set_t> own_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return std::nullopt;
  return mask;
}

}  // namespace

int allowed_cpus() {
  const auto mask = own_mask();
  return std::max(1, mask ? CPU_COUNT(&*mask) : static_cast<int>(std::thread::hardware_concurrency()));
}

int ranks_on_own_cpus(Collectives& node) {
  const auto mask = own_mask();
  const auto all = all_gather_values<cpu_set_t>(node, mask ? std::span(&*mask, 1) : std::span<const cpu_set_t>());
  if (all.size() != static_cast<std::size_t>(node.size())) return node.size();
  return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const cpu_set_t& other) {
    cpu_set_t common;
    CPU_AND(&common, &*mask, &other);
    return CPU_COUNT(&common) > 0;
  }));
}

int rank_threads(std::int64_t wanted, int sharing) {
  if (wanted > 0) return static_cast<int>(wanted);
  const char* told = std::getenv("OMP_NUM_THREADS");  // "4", or "4,2" for levels of nesting
  if (const long number = told != nullptr ? std::strtol(told, nullptr, 10) : 0; number > 0)
    return static_cast<int>(std::min(number, kMostThreads));
  return std::max(1, allowed_cpus() / sharing);
}

}  // namespace thinkrec
