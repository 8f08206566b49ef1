#pragma once
// The implementations of Collectives, and the fixtures whose bodies (host_bodies.cpp, device_bodies.cpp) run over each.

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "comm/collectives.h"
#include "comm/nccl_collectives.h"

namespace thinkrec {

enum class Kind {
  kSolo,
  kMpi,
  kMpiInParts,       ///< messages of 7 elements at most
  kNcclDouble,       ///< nccl_double.cpp over all ranks
  kNcclDoubleAlone,  ///< the same over a world of one
  kNccl              ///< the real library and GPU
};
void PrintTo(Kind kind, std::ostream* out);

/// What the two NCCL kinds are made with.
NcclOptions options_of(Kind kind);
/// All ranks of the test as a group of its own: of MPI under mpirun, else alone.
std::unique_ptr<Collectives> whole_world();
/// The GPU of this rank among those there are.
int device_of(Kind kind);

/// A group of each kind is made once and kept: real communicators take a second to set up. nullptr: not possible here.
Collectives* group_of(Kind kind);
/// Before MPI ends.
void drop_groups();

class CollectivesTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    group_ = group_of(GetParam());
    if (group_ == nullptr) GTEST_SKIP() << "not started by mpirun";
  }
  Collectives& group() { return *group_; }

 private:
  Collectives* group_ = nullptr;
};

/// A buffer on the GPU of the test's kind; on the host for kSolo, which has none.
class DeviceBytes {
 public:
  DeviceBytes(Kind kind, std::span<const std::byte> values);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* data() { return data_; }
  std::vector<std::byte> read() const;

 private:
  Kind kind_;
  std::size_t size_;
  void* data_ = nullptr;
};

class DeviceStream {
 public:
  explicit DeviceStream(Kind kind);
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;
  void* get() { return stream_; }

 private:
  Kind kind_;
  void* stream_ = nullptr;
};

class DeviceCollectivesTest : public CollectivesTest {};

}  // namespace thinkrec
