#include "app/environment.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <hdf5.h>
#include <mpi.h>
#include <omp.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "comm/nccl_library.h"
#include "core/build_info.h"
#include "core/error.h"
#include "core/options.h"
#include "io/hdf5.h"

extern char** environ;

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

OrderedJson text_or_null(const std::string& text) { return text.empty() ? OrderedJson() : OrderedJson(text); }

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream in(path);
  std::getline(in, line);
  return line;
}

/// The value of "name : value", as in /proc/cpuinfo and /proc/meminfo; empty where there is none.
std::string field(const fs::path& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    if (!line.starts_with(name) || colon == std::string::npos) continue;
    if (line.find_last_not_of(" \t", colon - 1) + 1 != name.size()) continue;
    const auto from = line.find_first_not_of(" \t", colon + 1);
    return from == std::string::npos ? "" : line.substr(from);
  }
  return "";
}

OrderedJson memory_field(const fs::path& path, const std::string& name) {
  const auto text = field(path, name);  // "16316412 kB"
  const auto kib = parse_integer(text.substr(0, text.find(' ')));
  return kib ? OrderedJson(*kib * 1024) : OrderedJson();
}

/// 13000 -> "13.0", as CUDA counts its versions.
std::string cuda_version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

void* open_library(const std::vector<std::string>& names, std::string& why) {
  for (const auto& name : names) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) return handle;
    const char* reason = dlerror();
    why += fmt::format("{}{}", why.empty() ? "" : "; ", reason != nullptr ? reason : name);
  }
  return nullptr;
}

template <class Function>
Function* symbol(void* handle, const char* name) {
  auto* found = reinterpret_cast<Function*>(dlsym(handle, name));
  if (found == nullptr) fail(ExitCode::kUsage, "the library has no {}: it is too old or another", name);
  return found;
}

/// {"version", "gpus"} by the driver.
OrderedJson ask_driver(const std::vector<std::string>& names) {
  std::string why;
  void* handle = open_library(names, why);
  if (handle == nullptr) fail(ExitCode::kUsage, "no driver: {}", why);
  const auto check = [](int result, const char* what) {
    if (result != 0) fail(ExitCode::kUsage, "{} gives error {}", what, result);
  };
  check(symbol<int(unsigned)>(handle, "cuInit")(0), "cuInit");
  int version = 0, count = 0;
  check(symbol<int(int*)>(handle, "cuDriverGetVersion")(&version), "cuDriverGetVersion");
  check(symbol<int(int*)>(handle, "cuDeviceGetCount")(&count), "cuDeviceGetCount");
  OrderedJson gpus = OrderedJson::array();
  for (int i = 0; i < count; ++i) {
    constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
    int device = 0, major = 0, minor = 0;
    std::size_t bytes = 0;
    char name[256] = "";
    check(symbol<int(int*, int)>(handle, "cuDeviceGet")(&device, i), "cuDeviceGet");
    check(symbol<int(char*, int, int)>(handle, "cuDeviceGetName")(name, sizeof name - 1, device), "cuDeviceGetName");
    check(symbol<int(std::size_t*, int)>(handle, "cuDeviceTotalMem_v2")(&bytes, device), "cuDeviceTotalMem");
    const auto attribute = symbol<int(int*, int, int)>(handle, "cuDeviceGetAttribute");
    check(attribute(&major, kMajor, device), "cuDeviceGetAttribute");
    check(attribute(&minor, kMinor, device), "cuDeviceGetAttribute");
    gpus.push_back({{"name", name}, {"memory_bytes", bytes}, {"compute_capability", fmt::format("{}.{}", major, minor)}});
  }
  return {{"version", cuda_version(version)}, {"gpus", gpus}};
}

OrderedJson ask_runtime(const std::vector<std::string>& names) {
  std::string why;
  void* handle = open_library(names, why);
  if (handle == nullptr) fail(ExitCode::kUsage, "no runtime: {}", why);
  int version = 0;
  const int result = symbol<int(int*)>(handle, "cudaRuntimeGetVersion")(&version);
  if (result != 0) fail(ExitCode::kUsage, "cudaRuntimeGetVersion gives error {}", result);
  return cuda_version(version);
}

OrderedJson versions(const EnvironmentPlaces& places, const OrderedJson& driver) {
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(mpi, &length);
  std::string mpi_text(mpi, static_cast<std::size_t>(length));
  mpi_text.resize(std::min(mpi_text.find(','), mpi_text.size()));  // then come the package and its maintainers
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  utsname kernel{};
  uname(&kernel);
  const OrderedJson runtime = in_child(places.timeout_s, [&] { return ask_runtime(places.cuda_runtime); });
  return {{"thinkrec", program_version()},
          {"commit", text_or_null(program_commit())},
          {"build", fmt::format("{}, -march={}", THINKREC_BUILD_TYPE, THINKREC_ARCH)},
          {"gpu_kernels", THINKREC_GPU_KERNELS != 0},
          {"compiler", "GCC " __VERSION__},
          {"libtorch", text_or_null(THINKREC_LIBTORCH_VERSION)},
          {"mpi", mpi_text},
          {"hdf5", fmt::format("{}.{}.{}", major, minor, release)},
          {"cuda_driver", driver.contains("value") ? driver["value"]["version"] : OrderedJson()},
          {"cuda_runtime", runtime.value("value", OrderedJson())},
          {"glibc", gnu_get_libc_version()},
          {"kernel", fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine)}};
}

OrderedJson machine(const EnvironmentPlaces& places) {
  const fs::path proc = places.root + "/proc";
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  OrderedJson simd = OrderedJson::array();
  const std::string flags = " " + field(proc / "cpuinfo", "flags") + " ";
  for (const char* name : {"avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(fmt::format(" {} ", name)) != std::string::npos) simd.push_back(name);
  }
  OrderedJson result = {{"cpu", text_or_null(field(proc / "cpuinfo", "model name"))},
                        {"simd", simd},
                        {"cores", std::thread::hardware_concurrency()},
                        {"cores_allowed", known ? OrderedJson(CPU_COUNT(&allowed)) : OrderedJson()},
                        {"memory_bytes", memory_field(proc / "meminfo", "MemTotal")},
                        {"memory_available_bytes", memory_field(proc / "meminfo", "MemAvailable")}};
  result["cgroup"] = read_cgroup(places.root);
  return result;
}

/// Variables that change how a run goes; nothing else, since an environment may hold secrets.
OrderedJson settings() {
  OrderedJson result = {{"omp_max_threads", omp_get_max_threads()}};
  std::vector<std::string> found;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view text = *at;
    for (const char* prefix : {"OMP_", "GOMP_", "MKL_NUM_THREADS=", "OMPI_COMM_WORLD_SIZE=", "CUDA_VISIBLE_DEVICES=", "NCCL_"}) {
      if (text.starts_with(prefix)) found.emplace_back(text);
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& text : found) result[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  return result;
}

OrderedJson folder() {
  const auto space = [](const std::string& path) -> OrderedJson {
    struct statvfs disk {};
    if (statvfs(path.c_str(), &disk) != 0) return nullptr;
    return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  };
  std::error_code error;
  return {{"path", text_or_null(fs::current_path(error).string())},
          {"free_bytes", space(".")},
          {"temporary_free_bytes", space(fs::temp_directory_path(error).string())},
          {"shared_memory_free_bytes", space("/dev/shm")}};
}

/// Whole numbers, so that the sums are exact in any order, on all threads.
OrderedJson matmul() {
  constexpr int kSize = 256;
  std::vector<float> a(kSize * kSize), b(a.size()), c(a.size(), 0.0F);
  for (int i = 0; i < kSize * kSize; ++i) {
    a[static_cast<std::size_t>(i)] = static_cast<float>(i % 7 - 3);
    b[static_cast<std::size_t>(i)] = static_cast<float>(i % 5 - 2);
  }
#pragma omp parallel for
  for (int i = 0; i < kSize; ++i) {
    for (int k = 0; k < kSize; ++k) {
      for (int j = 0; j < kSize; ++j) {
        c[static_cast<std::size_t>(i * kSize + j)] +=
            a[static_cast<std::size_t>(i * kSize + k)] * b[static_cast<std::size_t>(k * kSize + j)];
      }
    }
  }
  std::int64_t wrong = 0;
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; ++j) {
      int sum = 0;
      for (int k = 0; k < kSize; ++k) sum += ((i * kSize + k) % 7 - 3) * ((k * kSize + j) % 5 - 2);
      wrong += c[static_cast<std::size_t>(i * kSize + j)] == static_cast<float>(sum) ? 0 : 1;
    }
  }
  if (wrong > 0) fail(ExitCode::kInternal, "{} of {} values are wrong", wrong, kSize * kSize);
  return fmt::format("{0} x {0} on {1} threads, exact", kSize, omp_get_max_threads());
}

OrderedJson mpi_of_one() {
  int provided = 0, ranks = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) fail(ExitCode::kInternal, "no MPI_Init");
  const double one = 42;
  double sum = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Allreduce(&one, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  MPI_Finalize();
  if (provided < MPI_THREAD_FUNNELED) fail(ExitCode::kInternal, "MPI has no support for threads");
  if (ranks != 1 || sum != one) fail(ExitCode::kInternal, "a world of {} sums {} to {}", ranks, one, sum);
  return "started, summed and ended";
}

OrderedJson hdf5_image() {
  const std::vector<float> values = {1.5F, -2.0F, 3.25F, 0.0F};
  Hdf5Writer writer;
  writer.write("group/values", values, {2, 2});
  writer.attribute("words", "as written");
  const std::string bytes = writer.finish();
  const auto reader = Hdf5Reader::from_bytes(bytes, "self-test");
  const bool same = reader.floats("group/values") == values && reader.shape("group/values") == std::vector<std::int64_t>{2, 2} &&
                    reader.text_attribute("words") == "as written";
  if (!same) fail(ExitCode::kInternal, "what was read is not what was written");
  return fmt::format("written and read, {} bytes", bytes.size());
}

OrderedJson libtorch_loads(const std::string& path) {
  std::string why;
  if (open_library({path}, why) == nullptr) fail(ExitCode::kUsage, "{}; run launch/setup.sh", why);
  return path;
}

OrderedJson nccl_loads(const EnvironmentPlaces& places) {
  int version = 0;
  load_nccl_library(places.nccl, places.cuda_runtime)->get_version(&version);
  return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

OrderedJson self_test(const EnvironmentPlaces& places) {
  OrderedJson result;
  const auto test = [&](const char* name, bool needed, const std::function<OrderedJson()>& body) {
    const OrderedJson done = in_child(places.timeout_s, body);
    const bool ok = done.contains("value");
    result[name] = {{"ok", ok}, {"needed", needed}, {"detail", ok ? done["value"] : done["error"]}};
  };
  const auto leave_out = [&](const char* name, const char* why) {
    result[name] = {{"ok", nullptr}, {"needed", true}, {"detail", why}};
  };
  test("matmul", true, matmul);
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
    leave_out("mpi", "left out: mpirun has started this program");
  } else {
    test("mpi", true, mpi_of_one);
  }
  test("hdf5", true, hdf5_image);
  const std::string libtorch = places.libtorch.empty() ? THINKREC_LIBTORCH_PATH : places.libtorch;
  if (libtorch.empty()) {
    leave_out("libtorch", "left out: this build has none");
  } else {
    test("libtorch", true, [&] { return libtorch_loads(libtorch); });
  }
  test("nccl", false, [&] { return nccl_loads(places); });
  return result;
}

std::string shown(const std::string& name, const OrderedJson& value) {
  if (value.is_null()) return name.find("limit") != std::string::npos ? "none" : "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (name.ends_with("_bytes")) return fmt::format("{:.1f} GiB", value.get<double>() / (1 << 30));
  if (!value.is_array()) return value.dump();
  std::string result;
  for (const auto& element : value) result += (result.empty() ? "" : " ") + shown("", element);
  return result.empty() ? "-" : result;
}

std::string label(std::string name) {
  if (name.ends_with("_bytes")) name.resize(name.size() - 6);
  if (!name.empty() && std::islower(static_cast<unsigned char>(name[0])) != 0) std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

}  // namespace

OrderedJson read_cgroup(const std::string& root) {
  OrderedJson result = {{"memory_limit_bytes", nullptr}, {"memory_used_bytes", nullptr}, {"cpu_limit", nullptr}};
  const auto lower = [&](const char* name, double value) {
    if (result[name].is_null() || value < result[name].get<double>()) result[name] = value;
  };
  const auto lower_bytes = [&](std::int64_t value) {
    constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;  // version 1 writes a number for "no limit"
    if (value >= kUnlimited) return;
    auto& limit = result["memory_limit_bytes"];
    if (limit.is_null() || value < limit.get<std::int64_t>()) limit = value;
  };
  const fs::path mount = root + "/sys/fs/cgroup";
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    // "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1.
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool memory = controllers.find(",memory,") != std::string::npos, cpu = controllers.find(",cpu,") != std::string::npos;
    const bool unified = controllers == ",,";
    if (!unified && !memory && !cpu) continue;
    const fs::path top = unified ? mount : mount / (memory ? "memory" : "cpu");
    // In a container the path may be the host's, whose folders are not there: the mount's own stand for it.
    for (fs::path path = line.substr(second + 1); !path.empty(); path = path.parent_path()) {
      const fs::path at = top / path.relative_path();
      if (unified || memory) {
        if (const auto limit = parse_integer(first_line(at / (unified ? "memory.max" : "memory.limit_in_bytes"))))
          lower_bytes(*limit);
        const auto used = parse_integer(first_line(at / (unified ? "memory.current" : "memory.usage_in_bytes")));
        if (used && result["memory_used_bytes"].is_null()) result["memory_used_bytes"] = *used;
      }
      if (unified || cpu) {
        const std::string both = first_line(at / "cpu.max");  // "200000 100000"
        const auto quota = parse_real(unified ? both.substr(0, both.find(' ')) : first_line(at / "cpu.cfs_quota_us"));
        const auto period = parse_real(unified ? both.substr(both.find(' ') + 1) : first_line(at / "cpu.cfs_period_us"));
        if (quota && period && *quota > 0 && *period > 0) lower("cpu_limit", *quota / *period);
      }
      if (path == path.parent_path()) break;
    }
  }
  return result;
}

OrderedJson read_environment(const EnvironmentPlaces& places) {
  const OrderedJson driver = in_child(places.timeout_s, [&] { return ask_driver(places.cuda_driver); });
  OrderedJson result;
  result["versions"] = versions(places, driver);
  result["machine"] = machine(places);
  result["gpus"] = driver.contains("value") ? driver["value"]["gpus"] : OrderedJson::array();
  if (result["gpus"].empty()) result["gpus_why"] = driver.value("error", "the driver sees none");
  result["settings"] = settings();
  result["folder"] = folder();
  result["self_test"] = self_test(places);
  return result;
}

std::string environment_text(const OrderedJson& environment) {
  std::string text;
  const auto line = [&](const std::string& name, const std::string& value) {
    text += fmt::format("  {:<24} {}\n", label(name), value);
  };
  for (const auto& [title, section] : environment.items()) {
    if (title == "gpus_why") {
      line("none", section.get<std::string>());
      continue;
    }
    text += (text.empty() ? "" : "\n") + label(title) + "\n";
    if (title == "gpus") {
      for (std::size_t i = 0; i < section.size(); ++i) {
        const auto& gpu = section[i];
        line(fmt::format("{}", i), fmt::format("{}, {}, compute capability {}", gpu["name"].get<std::string>(),
                                               shown("memory_bytes", gpu["memory_bytes"]), shown("", gpu["compute_capability"])));
      }
      continue;
    }
    for (const auto& [name, value] : section.items()) {
      if (title == "self_test") {
        const char* state = value["ok"].is_null()         ? "-"
                            : value["ok"].get<bool>()     ? "ok"
                            : value["needed"].get<bool>() ? "FAILED"
                                                          : "no";
        line(name, fmt::format("{:<7} {}", state, value["detail"].get<std::string>()));
      } else if (value.is_object()) {
        for (const auto& [inner, detail] : value.items()) line(name + "_" + inner, shown(inner, detail));
      } else {
        line(name, shown(name, value));
      }
    }
  }
  return text;
}

std::vector<std::string> failed_parts(const OrderedJson& environment) {
  std::vector<std::string> failed;
  for (const auto& [name, part] : environment.at("self_test").items()) {
    if (part.at("needed").get<bool>() && part.at("ok") == false) failed.push_back(name);
  }
  return failed;
}

}  // namespace thinkrec
