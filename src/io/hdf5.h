#pragma once
// HDF5 through the C API, owned by RAII. Files are written as in-memory images (V110 bounds, Fletcher32 on every data set), so
// that HDF5 never touches the disk: measured, it reports success on a full one.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

/// Builds an HDF5 file in memory. Names are relative paths ("tensors/3"); groups on the way are made. Errors: kInternal naming the
/// data set.
class Hdf5Writer {
 public:
  Hdf5Writer();
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  /// One-dimensional data sets when `shape` is empty, else of that shape (its product is the size of `values`).
  void write(const std::string& name, std::span<const float> values, std::vector<std::int64_t> shape = {});
  void write(const std::string& name, std::span<const double> values, std::vector<std::int64_t> shape = {});
  void write(const std::string& name, std::span<const std::int32_t> values);
  void write(const std::string& name, std::span<const std::int64_t> values);
  void write(const std::string& name, std::span<const std::uint8_t> values);
  /// Strings (any bytes) as two data sets, NAME/offsets (int64, n + 1) and NAME/bytes (uint8).
  void write(const std::string& name, std::span<const std::string> values);
  /// Attributes of the root group. A text above 60,000 bytes is stored as the data set large_attributes/NAME, under a checksum.
  void attribute(const std::string& name, std::string_view value);
  void attribute(const std::string& name, std::int64_t value);

  /// Closes the file and gives its bytes; nothing may be written after.
  std::string finish();

 private:
  struct State;
  State* state_;
};

/// Reads an HDF5 file from memory or from disk. Errors: kNoInput, kBadData naming file and data set.
class Hdf5Reader {
 public:
  /// From bytes already checked against a manifest; `label` names them in messages.
  static Hdf5Reader from_bytes(std::string bytes, const std::string& label);
  static Hdf5Reader open(const std::string& path);
  ~Hdf5Reader();
  Hdf5Reader(Hdf5Reader&&) noexcept;
  Hdf5Reader& operator=(Hdf5Reader&&) = delete;

  bool has(const std::string& name) const;
  std::vector<std::int64_t> shape(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;
  std::vector<double> doubles(const std::string& name) const;
  std::vector<std::int32_t> int32s(const std::string& name) const;
  std::vector<std::int64_t> int64s(const std::string& name) const;
  std::vector<std::uint8_t> bytes(const std::string& name) const;
  /// In slabs of some MB of the file: no more than the strings themselves is held.
  std::vector<std::string> strings(const std::string& name) const;
  /// `count` values of a one-dimensional data set from `first` on; kInternal where it has not so many.
  std::vector<std::int64_t> int64s(const std::string& name, std::int64_t first, std::int64_t count) const;
  std::vector<std::uint8_t> bytes(const std::string& name, std::int64_t first, std::int64_t count) const;
  std::string text_attribute(const std::string& name) const;
  std::int64_t int_attribute(const std::string& name) const;
  /// Names of the data sets and groups directly under group `name` ("/" for the root), sorted.
  std::vector<std::string> children(const std::string& name) const;
  /// What `name` is: a group, a data set of values read here, or anything else.
  enum class Kind { kGroup, kFloats, kDoubles, kInt32s, kInt64s, kBytes, kOther };
  Kind kind(const std::string& name) const;
  /// Names of the attributes of the root group, sorted.
  std::vector<std::string> attributes() const;

 private:
  Hdf5Reader() = default;
  struct State;
  State* state_ = nullptr;
};

}  // namespace thinkrec
