// A driver of two GPUs for environment_test; FAKE_CUDA_FAILS names the call that gives error 999.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

int result(const char* call) {
  const char* fails = std::getenv("FAKE_CUDA_FAILS");
  return fails != nullptr && std::string_view(fails) == call ? 999 : 0;
}

}  // namespace

extern "C" {
int cuInit(unsigned) { return result("cuInit"); }
int cuDriverGetVersion(int* version) {
  *version = 13010;
  return result("cuDriverGetVersion");
}
int cuDeviceGetCount(int* count) {
  *count = std::getenv("FAKE_CUDA_NONE") != nullptr ? 0 : 2;
  return result("cuDeviceGetCount");
}
int cuDeviceGet(int* device, int number) {
  *device = number + 10;
  return result("cuDeviceGet");
}
int cuDeviceGetName(char* name, int length, int device) {
  std::snprintf(name, static_cast<std::size_t>(length), "Fake %d", device);
  return result("cuDeviceGetName");
}
int cuDeviceTotalMem_v2(std::size_t* bytes, int) {
  *bytes = std::size_t{3} << 30;
  return result("cuDeviceTotalMem");
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 1 : -1;
  return result("cuDeviceGetAttribute");
}
int cudaRuntimeGetVersion(int* version) {
  *version = 12090;
  return result("cudaRuntimeGetVersion");
}
}
