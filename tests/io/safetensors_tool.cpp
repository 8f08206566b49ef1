// Says of many safetensors files, in one process, whether thinkrec takes them. Input: for each, its length (8 bytes, little-endian)
// and its bytes. Output: a line for each, "taken N" (tensors) or "refused MESSAGE".

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "core/error.h"
#include "io/safetensors.h"

int main() {
  using namespace thinkrec;
  const std::string path = (std::filesystem::temp_directory_path() / ("safetensors-tool-" + std::to_string(::getpid()))).string();
  std::uint64_t length = 0;
  while (std::cin.read(reinterpret_cast<char*>(&length), sizeof(length))) {
    std::string bytes(static_cast<std::size_t>(length), '\0');
    if (!std::cin.read(bytes.data(), static_cast<std::streamsize>(length))) return 65;
    std::filesystem::remove(path);  // not truncated: ext4 would flush it each time
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      const SafetensorsFile file(path);
      std::cout << "taken " << file.entries().size() << '\n';
    } catch (const Error& error) {
      std::cout << "refused " << error.what() << '\n';
    }
  }
  std::filesystem::remove(path);
}
