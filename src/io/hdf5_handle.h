#pragma once
// What the HDF5 reader and writer share: owned handles, and the library's own words on a failure. Private to src/io.

#include <hdf5.h>

#include <string>
#include <utility>

namespace thinkrec {

/// Owns one HDF5 identifier; negative means the call that made it failed.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close closer) : id_(id), close_(closer) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
      close_ = other.close_;
    }
    return *this;
  }
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Closes now and tells whether that went well; HDF5 writes what it holds back only here.
  bool close() { return close_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

 private:
  void reset() {
    if (id_ >= 0) close_(std::exchange(id_, H5I_INVALID_HID));
  }
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

/// Turns off HDF5's printing of its error stack and the loading of plug-ins. The setting is one of the thread, so every public
/// function of the reader and the writer begins with it.
void hdf5_quiet();

/// The innermost description on HDF5's error stack, for messages; "no details" when there is none.
std::string hdf5_reason();

/// A name for an in-memory file. HDF5 takes equal names for the same open file, and insists that no such file be on disk.
std::string hdf5_memory_name();

}  // namespace thinkrec
