#include "comm/collectives_fixture.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "comm/mpi_collectives.h"
#include "comm/nccl_library.h"
#include "core/error.h"
#include "support/mpi_world.h"

namespace thinkrec {
namespace {

bool mpi_is_up() {
  int up = 0;
  MPI_Initialized(&up);
  return up != 0;
}

std::map<Kind, std::unique_ptr<Collectives>>& groups() {
  static std::map<Kind, std::unique_ptr<Collectives>> all;
  return all;
}

std::unique_ptr<Collectives> make_group(Kind kind) {
  switch (kind) {
    case Kind::kSolo:
      return make_solo_collectives();
    case Kind::kMpi:
      return whole_world();
    case Kind::kMpiInParts:
      return mpi_is_up() ? make_mpi_collectives(MPI_COMM_WORLD, 7) : nullptr;
    case Kind::kNcclDoubleAlone:
      return make_nccl_collectives(make_solo_collectives(), 0, options_of(kind));
    case Kind::kNcclDouble:
    case Kind::kNccl:
      return make_nccl_collectives(whole_world(), device_of(kind), options_of(kind));
  }
  return nullptr;
}

/// Calls of the CUDA runtime that only tests make, from the library that options_of names.
template <class... Args>
void cuda(Kind kind, const char* symbol, Args... args) {
  const auto options = options_of(kind);
  void* library = nullptr;
  for (const auto& name : options.cuda_libraries) {
    if (library == nullptr) library = dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD);
  }
  THINKREC_CHECK(library != nullptr, "the CUDA runtime is not loaded");
  const auto function = reinterpret_cast<int (*)(Args...)>(dlsym(library, symbol));
  THINKREC_CHECK(function != nullptr, "{}", symbol);
  const int result = function(args...);
  THINKREC_CHECK(result == kCudaSuccess, "{}: {}", symbol, result);
}

constexpr int kCudaMemcpyDefault = 4;

}  // namespace

void PrintTo(Kind kind, std::ostream* out) {
  constexpr const char* kNames[] = {"solo", "mpi", "mpi in parts", "nccl double", "nccl double alone", "nccl"};
  *out << kNames[static_cast<int>(kind)];
}

NcclOptions options_of(Kind kind) {
  NcclOptions options;
  options.timeout_s = 60.0;
  if (kind != Kind::kNccl) options.nccl_libraries = options.cuda_libraries = {THINKREC_BINARY_DIR "/libthinkrec_nccl_double.so"};
  return options;
}

std::unique_ptr<Collectives> whole_world() { return test_world().split(0); }

int device_of(Kind kind) {
  if (kind != Kind::kNccl) return kind == Kind::kNcclDoubleAlone ? 0 : test_world().rank();
  const auto options = options_of(kind);
  int devices = 0;
  load_nccl_library(options.nccl_libraries, options.cuda_libraries)->cuda_get_device_count(&devices);
  return test_world().rank() % std::max(1, devices);
}

Collectives* group_of(Kind kind) {
  const auto [place, is_new] = groups().try_emplace(kind);
  if (is_new) place->second = make_group(kind);
  return place->second.get();
}

void drop_groups() { groups().clear(); }

DeviceBytes::DeviceBytes(Kind kind, std::span<const std::byte> values) : kind_(kind), size_(values.size()) {
  if (kind_ == Kind::kSolo) {
    data_ = ::operator new(std::max<std::size_t>(size_, 1));
    if (size_ > 0) std::memcpy(data_, values.data(), size_);
    return;
  }
  cuda(kind_, "cudaMalloc", &data_, std::max<std::size_t>(size_, 1));
  const void* from = values.data();
  cuda(kind_, "cudaMemcpy", data_, from, size_, kCudaMemcpyDefault);
}

DeviceBytes::~DeviceBytes() {
  if (kind_ == Kind::kSolo) {
    ::operator delete(data_);
  } else {
    cuda(kind_, "cudaFree", data_);
  }
}

std::vector<std::byte> DeviceBytes::read() const {
  std::vector<std::byte> values(size_);
  const void* from = data_;
  void* to = values.data();
  if (kind_ == Kind::kSolo) {
    if (size_ > 0) std::memcpy(to, from, size_);
  } else {
    cuda(kind_, "cudaMemcpy", to, from, size_, kCudaMemcpyDefault);
  }
  return values;
}

DeviceStream::DeviceStream(Kind kind) : kind_(kind) {
  if (kind_ != Kind::kSolo) cuda(kind_, "cudaStreamCreate", &stream_);
}

DeviceStream::~DeviceStream() {
  if (stream_ != nullptr) cuda(kind_, "cudaStreamDestroy", stream_);
}

namespace {

/// Groups go before MPI does.
class Groups : public ::testing::Environment {
  void TearDown() override { drop_groups(); }
};
[[maybe_unused]] const auto* const kGroups = ::testing::AddGlobalTestEnvironment(new Groups);

}  // namespace
}  // namespace thinkrec
