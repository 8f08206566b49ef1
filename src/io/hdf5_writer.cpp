#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/joined.h"
#include "io/hdf5.h"
#include "io/hdf5_handle.h"

namespace thinkrec {
namespace {

constexpr std::size_t kGrowth = std::size_t{1} << 16;        // HDF5 asks for memory in steps of this
constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;  // a chunk fits HDF5's chunk cache
constexpr std::size_t kMaxAttributeBytes = 60'000;           // larger ones would go to a heap without a checksum

/// The memory that HDF5's core driver believes to be its own. Kept when the file closes: that is the file.
struct Image {
  char* data = nullptr;
  std::size_t size = 0, capacity = 0;
  bool out_of_memory = false;
  Image() = default;
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { std::free(data); }
};

void* image_resize(void*, std::size_t size, H5FD_file_image_op_t, void* user) {
  Image& image = *static_cast<Image*>(user);
  if (size > image.capacity) {
    const std::size_t capacity = std::max(size, image.capacity + image.capacity / 2);
    void* data = std::realloc(image.data, capacity);
    if (data == nullptr) {
      image.out_of_memory = true;
      return nullptr;
    }
    image.data = static_cast<char*>(data);
    image.capacity = capacity;
  }
  image.size = size;
  return image.data;
}

void* image_allocate(std::size_t size, H5FD_file_image_op_t operation, void* user) {
  return image_resize(nullptr, size, operation, user);
}
void* image_copy(void* to, const void* from, std::size_t size, H5FD_file_image_op_t, void*) {
  return std::memcpy(to, from, size);
}
herr_t image_keep(void*, H5FD_file_image_op_t, void*) { return 0; }
void* user_share(void* user) { return user; }
herr_t user_keep(void*) { return 0; }

/// HDF5 rounds the memory up; the superblock (version 2 or 3) tells where the file ends. 0 when there is no such superblock.
std::size_t end_of_file(const Image& image) {
  constexpr unsigned char kSignature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  constexpr std::size_t kVersionAt = 8, kOffsetBytesAt = 9, kEndAt = 28;
  if (image.size < 48 || std::memcmp(image.data, kSignature, sizeof(kSignature)) != 0) return 0;
  if (image.data[kVersionAt] < 2 || image.data[kVersionAt] > 3 || image.data[kOffsetBytesAt] != 8) return 0;
  std::uint64_t end = 0;
  std::memcpy(&end, image.data + kEndAt, sizeof(end));
  return end <= image.size ? static_cast<std::size_t>(end) : 0;
}

/// Extents of equal chunks of at most about kChunkBytes, the last dimensions kept whole for as long as they fit.
std::vector<hsize_t> chunk_extents(const std::vector<hsize_t>& shape, std::size_t element_bytes) {
  std::vector<hsize_t> chunk(shape.size());
  hsize_t budget = static_cast<hsize_t>(kChunkBytes) / element_bytes;
  for (std::size_t d = shape.size(); d-- > 0;) {
    const hsize_t parts = (shape[d] + budget - 1) / budget;
    chunk[d] = (shape[d] + parts - 1) / parts;
    budget = std::max<hsize_t>(1, budget / chunk[d]);
  }
  return chunk;
}

}  // namespace

struct Hdf5Writer::State {
  Image image;  // first, so that it outlives the file
  Hdf5Handle group_properties;
  Hdf5Handle file;

  [[noreturn]] void broken(const std::string& name, const char* what) const {
    fail(ExitCode::kInternal, "HDF5 image: '{}': {} failed: {}", name, what,
         image.out_of_memory ? "out of memory" : hdf5_reason());
  }

  void check_open(const std::string& name) const {
    hdf5_quiet();
    if (!file.valid()) fail(ExitCode::kInternal, "HDF5 image: '{}' is written after finish()", name);
  }

  /// Makes the groups above `name`, and checks that the name is a plain relative path.
  void make_groups(const std::string& name) {
    if (name.empty() || name.front() == '/' || name.back() == '/' || name.find("//") != std::string::npos) {
      fail(ExitCode::kInternal, "HDF5 image: '{}' is no name for a data set", name);
    }
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      const std::string group = name.substr(0, slash);
      const htri_t there = H5Lexists(file.get(), group.c_str(), H5P_DEFAULT);
      if (there < 0) broken(name, "looking for its group");
      if (there > 0) continue;
      Hdf5Handle made(H5Gcreate2(file.get(), group.c_str(), H5P_DEFAULT, group_properties.get(), H5P_DEFAULT), H5Gclose);
      if (!made.valid() || !made.close()) broken(name, "making its group");
    }
  }

  void write(const std::string& name, hid_t file_type, hid_t memory_type, const void* values, std::size_t count,
             std::size_t element_bytes, const std::vector<std::int64_t>& asked) {
    check_open(name);
    make_groups(name);
    std::vector<hsize_t> shape;
    for (const std::int64_t extent : asked) {
      THINKREC_CHECK(extent >= 0, "'{}': a dimension of {}", name, extent);
      shape.push_back(static_cast<hsize_t>(extent));
    }
    if (asked.empty()) shape = {count};
    hsize_t product = 1;
    for (const hsize_t extent : shape) {
      THINKREC_CHECK(!__builtin_mul_overflow(product, extent, &product), "'{}': shape [{}] overflows", name, joined(shape, ", "));
    }
    THINKREC_CHECK(product == count, "'{}': {} values for shape [{}]", name, count, joined(shape, ", "));
    Hdf5Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
    Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (!space.valid() || !properties.valid()) broken(name, "describing it");
    bool good = H5Pset_obj_track_times(properties.get(), false) >= 0;  // the same values give the same bytes
    if (count > 0) {                                                   // nothing to chunk or to sum in an empty one
      const auto chunk = chunk_extents(shape, element_bytes);
      good = good && H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data()) >= 0 &&
             H5Pset_fletcher32(properties.get()) >= 0;
    }
    if (!good) broken(name, "describing it");
    Hdf5Handle set(H5Dcreate2(file.get(), name.c_str(), file_type, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                   H5Dclose);
    if (!set.valid()) broken(name, "making it");
    if (count > 0 && H5Dwrite(set.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) broken(name, "writing it");
    if (!set.close()) broken(name, "closing it");
  }

  void write_attribute(const std::string& name, hid_t type, hid_t memory_type, hid_t space, const void* value) {
    Hdf5Handle attribute(H5Acreate2(file.get(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    if (!attribute.valid()) broken(name, "making the attribute");
    if (value != nullptr && H5Awrite(attribute.get(), memory_type, value) < 0) broken(name, "writing the attribute");
    if (!attribute.close()) broken(name, "closing the attribute");
  }
};

Hdf5Writer::Hdf5Writer() {
  hdf5_quiet();
  auto state = std::make_unique<State>();
  state->group_properties = Hdf5Handle(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose), creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5FD_file_image_callbacks_t callbacks = {image_allocate, image_copy, image_resize, image_keep,
                                           user_share,     user_keep,  &state->image};
  if (H5Pset_obj_track_times(state->group_properties.get(), false) < 0 || H5Pset_obj_track_times(creation.get(), false) < 0 ||
      H5Pset_fapl_core(access.get(), kGrowth, false) < 0 || H5Pset_file_image_callbacks(access.get(), &callbacks) < 0 ||
      H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
      H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG) < 0) {
    state->broken("/", "setting up");
  }
  state->file = Hdf5Handle(H5Fcreate(hdf5_memory_name().c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  if (!state->file.valid()) state->broken("/", "making the file");
  state_ = state.release();
}

Hdf5Writer::~Hdf5Writer() {
  hdf5_quiet();
  delete state_;
}

void Hdf5Writer::write(const std::string& name, std::span<const float> values, std::vector<std::int64_t> shape) {
  state_->write(name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, values.data(), values.size(), sizeof(float), shape);
}

void Hdf5Writer::write(const std::string& name, std::span<const double> values, std::vector<std::int64_t> shape) {
  state_->write(name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values.data(), values.size(), sizeof(double), shape);
}

void Hdf5Writer::write(const std::string& name, std::span<const std::int32_t> values) {
  state_->write(name, H5T_STD_I32LE, H5T_NATIVE_INT32, values.data(), values.size(), sizeof(std::int32_t), {});
}

void Hdf5Writer::write(const std::string& name, std::span<const std::int64_t> values) {
  state_->write(name, H5T_STD_I64LE, H5T_NATIVE_INT64, values.data(), values.size(), sizeof(std::int64_t), {});
}

void Hdf5Writer::write(const std::string& name, std::span<const std::uint8_t> values) {
  state_->write(name, H5T_STD_U8LE, H5T_NATIVE_UINT8, values.data(), values.size(), 1, {});
}

void Hdf5Writer::write(const std::string& name, std::span<const std::string> values) {
  std::vector<std::int64_t> offsets = {0};
  std::vector<std::uint8_t> bytes;
  for (const std::string& value : values) {
    bytes.insert(bytes.end(), value.begin(), value.end());
    offsets.push_back(static_cast<std::int64_t>(bytes.size()));
  }
  write(name + "/offsets", std::span<const std::int64_t>(offsets));
  write(name + "/bytes", std::span<const std::uint8_t>(bytes));
}

void Hdf5Writer::attribute(const std::string& name, std::string_view value) {
  state_->check_open(name);
  if (value.size() > kMaxAttributeBytes) {
    write("large_attributes/" + name, std::span(reinterpret_cast<const std::uint8_t*>(value.data()), value.size()));
    return;
  }
  // HDF5 has no strings of length 0: an empty one is a one-byte string type without a value.
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose), space(H5Screate(value.empty() ? H5S_NULL : H5S_SCALAR), H5Sclose);
  if (H5Tset_size(type.get(), std::max<std::size_t>(1, value.size())) < 0 || H5Tset_strpad(type.get(), H5T_STR_NULLPAD) < 0 ||
      H5Tset_cset(type.get(), H5T_CSET_UTF8) < 0 || !space.valid()) {
    state_->broken(name, "describing the attribute");
  }
  state_->write_attribute(name, type.get(), type.get(), space.get(), value.empty() ? nullptr : value.data());
}

void Hdf5Writer::attribute(const std::string& name, std::int64_t value) {
  state_->check_open(name);
  Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  state_->write_attribute(name, H5T_STD_I64LE, H5T_NATIVE_INT64, space.get(), &value);
}

std::string Hdf5Writer::finish() {
  state_->check_open("/");
  if (!state_->file.close()) state_->broken("/", "closing");
  const std::size_t end = end_of_file(state_->image);
  if (end == 0 || state_->image.out_of_memory) state_->broken("/", "closing");
  return std::string(state_->image.data, end);
}

}  // namespace thinkrec
