#include "simt/red_zones.h"

#include <map>
#include <mutex>

#include "simt/names.h"

namespace simt::detail {
namespace {

constexpr unsigned char kRedByte = 0xa5;

std::mutex& mutex() {
  static std::mutex* const instance = new std::mutex;  // arrays may outlive static destructors
  return *instance;
}
std::map<std::byte*, std::size_t>& watched() {
  static auto* const instance = new std::map<std::byte*, std::size_t>;
  return *instance;
}

}  // namespace

void watch(void* bytes, std::size_t size) {
  auto* const first = static_cast<std::byte*>(bytes);
  std::memset(first - kRedZone, kRedByte, kRedZone);
  std::memset(first + size, kRedByte, kRedZone);
  const std::scoped_lock lock(mutex());
  watched()[first] = size;
}

void unwatch(void* bytes) {
  const std::scoped_lock lock(mutex());
  watched().erase(static_cast<std::byte*>(bytes));
}

void check_red_zones(const char* kernel) {
  const std::scoped_lock lock(mutex());
  for (const auto& [bytes, size] : watched()) {
    for (std::size_t i = 0; i < kRedZone; ++i) {
      for (std::byte* at : {bytes - 1 - i, bytes + size + i}) {
        if (*at != std::byte{kRedByte}) {
          *at = std::byte{kRedByte};
          throw Fault(Kind::bounds, fmt::format("simt: kernel {}: {}: byte {} of a guarded array of {} bytes was written", kernel,
                                                name_of(Kind::bounds), at - bytes, size));
        }
      }
    }
  }
}

}  // namespace simt::detail
