#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/joined.h"
#include "io/hdf5.h"
#include "io/hdf5_handle.h"
#include "io/random_access_file.h"

namespace thinkrec {

struct Hdf5Reader::State {
  std::string label;
  hsize_t size = 0;
  Hdf5Handle file;

  template <class... Args>
  [[noreturn]] void bad(const std::string& name, fmt::format_string<Args...> format, Args&&... args) const {
    fail(ExitCode::kBadData, "{}: '{}': {}", label, name, fmt::format(format, std::forward<Args>(args)...));
  }

  void opened(hid_t id) {
    file = Hdf5Handle(id, H5Fclose);
    if (!file.valid()) fail(ExitCode::kBadData, "{}: not a whole HDF5 file: {}", label, hdf5_reason());
    if (H5Fget_filesize(file.get(), &size) < 0) fail(ExitCode::kBadData, "{}: {}", label, hdf5_reason());
  }

  /// Whether every step of the path is there. Only hard links count: soft and external ones could lead out of the file.
  bool there(const std::string& name) const {
    if (name.empty()) return false;
    for (std::size_t slash = name.find('/', 1);; slash = name.find('/', slash + 1)) {
      const std::string step = name.substr(0, slash);
      if (step != "/") {
        H5L_info_t info;
        const htri_t exists = H5Lexists(file.get(), step.c_str(), H5P_DEFAULT);
        if (exists < 0) return false;  // a step above it is a data set
        if (exists == 0 || H5Lget_info(file.get(), step.c_str(), &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
          return false;
      }
      if (slash == std::string::npos) return true;
    }
  }

  Hdf5Handle open_set(const std::string& name) const {
    if (!there(name)) bad(name, "is missing");
    H5O_info_t info;
    if (H5Oget_info_by_name(file.get(), name.c_str(), &info, H5P_DEFAULT) < 0) bad(name, "cannot be read: {}", hdf5_reason());
    if (info.type != H5O_TYPE_DATASET) bad(name, "is no data set");
    Hdf5Handle set(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!set.valid()) bad(name, "cannot be opened: {}", hdf5_reason());
    return set;
  }

  std::vector<std::int64_t> extents(const std::string& name, const Hdf5Handle& set) const {
    const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
    const int rank = space.valid() ? H5Sget_simple_extent_ndims(space.get()) : -1;
    if (rank < 1 || rank > H5S_MAX_RANK) bad(name, "its shape cannot be read");
    std::vector<hsize_t> shape(static_cast<std::size_t>(rank));
    if (H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr) < 0)
      bad(name, "its shape cannot be read: {}", hdf5_reason());
    std::vector<std::int64_t> out;
    for (const hsize_t extent : shape) {
      if (extent > static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max())) bad(name, "a dimension of {}", extent);
      out.push_back(static_cast<std::int64_t>(extent));
    }
    return out;
  }

  /// Refuses what the writer never makes: data outside the file, and filters other than the checksum (they may come from
  /// plug-ins).
  void check_storage(const std::string& name, const Hdf5Handle& set) const {
    const Hdf5Handle properties(H5Dget_create_plist(set.get()), H5Pclose);
    const H5D_layout_t layout = properties.valid() ? H5Pget_layout(properties.get()) : H5D_LAYOUT_ERROR;
    if (layout != H5D_CHUNKED && layout != H5D_CONTIGUOUS && layout != H5D_COMPACT)
      bad(name, "its layout is not one that thinkrec writes");
    if (layout == H5D_CONTIGUOUS && H5Pget_external_count(properties.get()) != 0) bad(name, "its values lie in another file");
    const int filters = H5Pget_nfilters(properties.get());
    for (int i = 0; i < filters; ++i) {
      unsigned flags = 0, configuration = 0;
      std::size_t values = 0;
      const H5Z_filter_t filter =
          H5Pget_filter2(properties.get(), static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &configuration);
      if (filter != H5Z_FILTER_FLETCHER32)
        bad(name, "filter {} is not read; store it without compression", static_cast<int>(filter));
    }
  }

  /// A part of a one-dimensional data set.
  struct Slab {
    std::int64_t first, count;
  };

  template <class T>
  std::vector<T> read(const std::string& name, hid_t file_type, hid_t memory_type, const char* type_name,
                      std::optional<Slab> slab = std::nullopt) const {
    hdf5_quiet();
    const Hdf5Handle set = open_set(name);
    const Hdf5Handle type(H5Dget_type(set.get()), H5Tclose);
    if (!type.valid() || H5Tequal(type.get(), file_type) <= 0) bad(name, "its values are not {}", type_name);
    check_storage(name, set);
    std::uint64_t bytes = sizeof(T);
    const std::vector<std::int64_t> shape = extents(name, set);
    for (const std::int64_t extent : shape) {
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) bad(name, "its size overflows");
    }
    // Before memory is taken: all values are stored, so they fit the file.
    if (bytes > size || bytes > H5Dget_storage_size(set.get())) bad(name, "it claims {} bytes, more than are stored", bytes);
    if (slab) {
      THINKREC_CHECK(shape.size() == 1 && slab->first >= 0 && slab->count >= 0 && slab->first <= shape[0] - slab->count,
                     "'{}': {} values from {} of shape [{}]", name, slab->count, slab->first, joined(shape, ", "));
    }
    std::vector<T> values(slab ? static_cast<std::size_t>(slab->count) : static_cast<std::size_t>(bytes / sizeof(T)));
    Hdf5Handle memory, place;
    if (slab) {
      const auto first = static_cast<hsize_t>(slab->first), count = static_cast<hsize_t>(slab->count);
      memory = Hdf5Handle(H5Screate_simple(1, &count, nullptr), H5Sclose);
      place = Hdf5Handle(H5Dget_space(set.get()), H5Sclose);
      if (count > 0 && H5Sselect_hyperslab(place.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr) < 0)
        bad(name, "cannot be read in part: {}", hdf5_reason());
    }
    if (!values.empty() && H5Dread(set.get(), memory_type, slab ? memory.get() : H5S_ALL, slab ? place.get() : H5S_ALL,
                                   H5P_DEFAULT, values.data()) < 0) {
      bad(name, "cannot be read, the file is damaged: {}", hdf5_reason());
    }
    return values;
  }

  Hdf5Handle open_attribute(const std::string& name) const {
    hdf5_quiet();
    if (H5Aexists(file.get(), name.c_str()) <= 0) bad(name, "the attribute is missing");
    Hdf5Handle attribute(H5Aopen(file.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    if (!attribute.valid()) bad(name, "the attribute cannot be read: {}", hdf5_reason());
    return attribute;
  }
};

Hdf5Reader Hdf5Reader::from_bytes(std::string bytes, const std::string& label) {
  hdf5_quiet();
  Hdf5Reader reader;
  reader.state_ = new State;
  reader.state_->label = label;
  if (bytes.empty()) fail(ExitCode::kBadData, "{}: not an HDF5 file (0 bytes)", label);  // HDF5 takes this for "no image"
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (H5Pset_fapl_core(access.get(), std::size_t{1} << 16, false) < 0 ||
      H5Pset_file_image(access.get(), bytes.data(), bytes.size()) < 0) {
    fail(ExitCode::kInternal, "{}: the HDF5 image cannot be set: {}", label, hdf5_reason());
  }
  std::string().swap(bytes);
  reader.state_->opened(H5Fopen(hdf5_memory_name().c_str(), H5F_ACC_RDONLY, access.get()));
  return reader;
}

Hdf5Reader Hdf5Reader::open(const std::string& path) {
  hdf5_quiet();
  { const RandomAccessFile readable(path); }  // kNoInput with errno's text, which HDF5 would not give
  Hdf5Reader reader;
  reader.state_ = new State;
  reader.state_->label = path;
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // Locks fail on some network file systems, and files are replaced as a whole, never written in place.
  H5Pset_file_locking(access.get(), false, true);
  reader.state_->opened(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()));
  return reader;
}

Hdf5Reader::~Hdf5Reader() {
  if (state_ == nullptr) return;
  hdf5_quiet();
  delete state_;
}

Hdf5Reader::Hdf5Reader(Hdf5Reader&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

bool Hdf5Reader::has(const std::string& name) const {
  hdf5_quiet();
  return state_->there(name);
}

std::vector<std::int64_t> Hdf5Reader::shape(const std::string& name) const {
  hdf5_quiet();
  return state_->extents(name, state_->open_set(name));
}

std::vector<float> Hdf5Reader::floats(const std::string& name) const {
  return state_->read<float>(name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, "32-bit floats");
}

std::vector<double> Hdf5Reader::doubles(const std::string& name) const {
  return state_->read<double>(name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, "64-bit floats");
}

std::vector<std::int32_t> Hdf5Reader::int32s(const std::string& name) const {
  return state_->read<std::int32_t>(name, H5T_STD_I32LE, H5T_NATIVE_INT32, "32-bit integers");
}

std::vector<std::int64_t> Hdf5Reader::int64s(const std::string& name) const {
  return state_->read<std::int64_t>(name, H5T_STD_I64LE, H5T_NATIVE_INT64, "64-bit integers");
}

std::vector<std::uint8_t> Hdf5Reader::bytes(const std::string& name) const {
  return state_->read<std::uint8_t>(name, H5T_STD_U8LE, H5T_NATIVE_UINT8, "bytes");
}

std::vector<std::int64_t> Hdf5Reader::int64s(const std::string& name, std::int64_t first, std::int64_t count) const {
  return state_->read<std::int64_t>(name, H5T_STD_I64LE, H5T_NATIVE_INT64, "64-bit integers", State::Slab{first, count});
}

std::vector<std::uint8_t> Hdf5Reader::bytes(const std::string& name, std::int64_t first, std::int64_t count) const {
  return state_->read<std::uint8_t>(name, H5T_STD_U8LE, H5T_NATIVE_UINT8, "bytes", State::Slab{first, count});
}

std::vector<std::string> Hdf5Reader::strings(const std::string& name) const {
  constexpr std::int64_t kSlabStrings = std::int64_t{1} << 16, kSlabBytes = std::int64_t{4} << 20;
  const auto length = [&](const char* part) {
    const auto extents = shape(name + part);
    if (extents.size() != 1) state_->bad(name, "it is not one-dimensional");
    return extents[0];
  };
  const std::int64_t count = length("/offsets") - 1, size = length("/bytes");
  const auto unfit = [&] { state_->bad(name, "its offsets do not fit its bytes"); };
  if (count < 0) unfit();
  std::vector<std::string> values;
  std::int64_t at = 0;  // the bytes before are read
  for (std::int64_t begin = 0; begin == 0 || begin < count; begin += kSlabStrings) {
    const auto offsets = int64s(name + "/offsets", begin, std::min(kSlabStrings, count - begin) + 1);
    if (offsets.front() != at || offsets.back() > size || !std::is_sorted(offsets.begin(), offsets.end())) unfit();
    if (begin == 0) values.reserve(static_cast<std::size_t>(count));  // as many offsets are stored
    for (std::size_t i = 0; i + 1 < offsets.size();) {
      std::size_t end = i + 1;  // as many strings as fit the slab, at least one
      while (end + 1 < offsets.size() && offsets[end + 1] - at <= kSlabBytes) ++end;
      const auto slab = bytes(name + "/bytes", at, offsets[end] - at);
      for (; i < end; ++i) values.emplace_back(slab.begin() + (offsets[i] - at), slab.begin() + (offsets[i + 1] - at));
      at = offsets[end];
    }
  }
  if (at != size) unfit();
  // An empty list reads no bytes; they are held to their type and checksum all the same.
  if (count == 0) bytes(name + "/bytes");
  return values;
}

std::string Hdf5Reader::text_attribute(const std::string& name) const {
  hdf5_quiet();
  const std::string large = "large_attributes/" + name;
  if (H5Aexists(state_->file.get(), name.c_str()) <= 0 && state_->there(large)) {
    const auto all = bytes(large);
    return std::string(all.begin(), all.end());
  }
  const Hdf5Handle attribute = state_->open_attribute(name);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
    state_->bad(name, "the attribute is no text of fixed length");
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) return {};
  const std::size_t length = H5Tget_size(type.get());
  if (H5Sget_simple_extent_npoints(space.get()) != 1 || length == 0 || length > state_->size)
    state_->bad(name, "the attribute is not one text");
  std::string value(length, '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0)
    state_->bad(name, "the attribute cannot be read: {}", hdf5_reason());
  return value;
}

std::int64_t Hdf5Reader::int_attribute(const std::string& name) const {
  const Hdf5Handle attribute = state_->open_attribute(name);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
  std::int64_t value = 0;
  if (H5Tequal(type.get(), H5T_STD_I64LE) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1)
    state_->bad(name, "the attribute is no 64-bit integer");
  if (H5Aread(attribute.get(), H5T_NATIVE_INT64, &value) < 0)
    state_->bad(name, "the attribute cannot be read: {}", hdf5_reason());
  return value;
}

std::vector<std::string> Hdf5Reader::children(const std::string& name) const {
  hdf5_quiet();
  if (!state_->there(name)) state_->bad(name, "is missing");
  const Hdf5Handle group(H5Gopen2(state_->file.get(), name.c_str(), H5P_DEFAULT), H5Gclose);
  if (!group.valid()) state_->bad(name, "is no group");
  std::vector<std::string> names;
  const herr_t walked = H5Literate(
      group.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr,
      [](hid_t, const char* child, const H5L_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(child);
        return 0;
      },
      &names);
  if (walked < 0) state_->bad(name, "cannot be listed: {}", hdf5_reason());
  std::sort(names.begin(), names.end());
  return names;
}

Hdf5Reader::Kind Hdf5Reader::kind(const std::string& name) const {
  hdf5_quiet();
  H5O_info_t info;
  if (!state_->there(name)) return Kind::kOther;
  if (H5Oget_info_by_name(state_->file.get(), name.c_str(), &info, H5P_DEFAULT) < 0)
    state_->bad(name, "cannot be read: {}", hdf5_reason());
  if (info.type == H5O_TYPE_GROUP) return Kind::kGroup;
  if (info.type != H5O_TYPE_DATASET) return Kind::kOther;
  const Hdf5Handle set = state_->open_set(name);
  const Hdf5Handle type(H5Dget_type(set.get()), H5Tclose);
  if (!type.valid()) state_->bad(name, "its type cannot be read: {}", hdf5_reason());
  const auto is = [&](hid_t other) { return H5Tequal(type.get(), other) > 0; };
  return is(H5T_IEEE_F32LE)   ? Kind::kFloats
         : is(H5T_IEEE_F64LE) ? Kind::kDoubles
         : is(H5T_STD_I32LE)  ? Kind::kInt32s
         : is(H5T_STD_I64LE)  ? Kind::kInt64s
         : is(H5T_STD_U8LE)   ? Kind::kBytes
                              : Kind::kOther;
}

std::vector<std::string> Hdf5Reader::attributes() const {
  hdf5_quiet();
  std::vector<std::string> names;
  const herr_t walked = H5Aiterate2(
      state_->file.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr,
      [](hid_t, const char* attribute, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(attribute);
        return 0;
      },
      &names);
  if (walked < 0) state_->bad("/", "its attributes cannot be listed: {}", hdf5_reason());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace thinkrec
