#include <openssl/evp.h>
#include <xxhash.h>

#include <cstdio>
#include <memory>

#include "core/error.h"
#include "io/file.h"

namespace thinkrec {
namespace {

std::string hex(const unsigned char* bytes, std::size_t count) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    THINKREC_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(const void* bytes, std::size_t count) { THINKREC_CHECK(EVP_DigestUpdate(context_.get(), bytes, count) == 1); }
  std::string finish() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    THINKREC_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &length) == 1);
    return hex(digest, length);
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.finish();
}

std::string sha256_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail(ExitCode::kNoInput, "{}: cannot be read", path);
  Sha256 hash;
  std::vector<char> buffer(1 << 16);
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) hash.add(buffer.data(), got);
  if (std::ferror(file.get()) != 0) fail(ExitCode::kNoInput, "{}: reading failed", path);
  return hash.finish();
}

std::string xxh3_128_hex(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return hex(canonical.digest, sizeof(canonical.digest));
}

}  // namespace thinkrec
