#pragma once
// What a bug report needs to say of a machine and of this build, and whether the parts work: thinkrec_inspect --environment.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thinkrec {

using OrderedJson = nlohmann::ordered_json;

/// Where to look; other places in tests.
struct EnvironmentPlaces {
  std::string root;  ///< before /proc and /sys
  std::vector<std::string> cuda_driver = {"libcuda.so.1"};
  std::vector<std::string> cuda_runtime = {"libcudart.so.13", "libcudart.so.12"};
  std::vector<std::string> nccl = {"libnccl.so.2"};
  std::string libtorch;   ///< libtorch_cpu.so; empty: this build's
  double timeout_s = 60;  ///< of each part that runs in a process of its own
};

/// Sections "versions", "machine", "gpus", "settings", "folder" and "self_test". What is not there is null, and no error: of the GPUs a
/// line "gpus_why" says why there are none. Sizes are bytes, in names that end in _bytes. Each of "self_test" has "ok" (true, false; null:
/// left out), "needed" (a run does without the others) and "detail".
OrderedJson read_environment(const EnvironmentPlaces& places = {});

/// The same to be read by people.
std::string environment_text(const OrderedJson& environment);

/// Names of the needed parts that failed their test.
std::vector<std::string> failed_parts(const OrderedJson& environment);

/// Limits of the process's control groups, version 2 or 1, up to the root: {"memory_limit_bytes", "memory_used_bytes", "cpu_limit"}, null
/// where there is none.
OrderedJson read_cgroup(const std::string& root);

/// What `body` gives, run in a process of its own, so that a library that crashes or hangs is only reported: {"value": ...}, or
/// {"error": "why"}: an exception's words, the signal or exit code with the last that it printed, or the time that ran out.
OrderedJson in_child(double timeout_s, const std::function<OrderedJson()>& body);

}  // namespace thinkrec
