#include "data/walk.h"

#include "core/error.h"
#include "data/dataset.h"
#include "io/gguf.h"
#include "io/hdf5.h"
#include "io/safetensors.h"

namespace thinkrec {
namespace {

constexpr int kDeepest = 32;
constexpr std::size_t kMostObjects = 1'000'000;  // groups may hold themselves

class Hdf5Walk {
 public:
  explicit Hdf5Walk(const std::string& path) : path_(path), reader_(Hdf5Reader::open(path)) {}

  std::string run() {
    const auto attributes = reader_.attributes();
    for (const std::string& name : attributes) {
      const std::string text = attempt([&] { return reader_.text_attribute(name); });
      attempt([&] { return std::to_string(reader_.int_attribute(name)); });
      if (name == "schema" && text == "thinkrec data set") load_dataset(path_);
    }
    walk("/", 0);
    return fmt::format("HDF5, {} objects, {} values, {} attributes", objects_, values_, attributes.size());
  }

 private:
  /// An attribute is of one type only; the other way to read it is refused.
  template <class Read>
  static std::string attempt(Read read) {
    try {
      return read();
    } catch (const Error&) {
      return {};
    }
  }

  void walk(const std::string& name, int depth) {
    if (++objects_ > kMostObjects) fail(ExitCode::kBadData, "{}: more than {} objects", path_, kMostObjects);
    if (depth > kDeepest) fail(ExitCode::kBadData, "{}: groups nested deeper than {}", path_, kDeepest);
    using enum Hdf5Reader::Kind;
    switch (reader_.kind(name)) {
      case kGroup:
        for (const std::string& child : reader_.children(name)) walk(name == "/" ? name + child : name + "/" + child, depth + 1);
        return;
      case kFloats:
        values_ += reader_.floats(name).size();
        break;
      case kDoubles:
        values_ += reader_.doubles(name).size();
        break;
      case kInt32s:
        values_ += reader_.int32s(name).size();
        break;
      case kInt64s:
        values_ += reader_.int64s(name).size();
        break;
      case kBytes:
        values_ += reader_.bytes(name).size();
        break;
      case kOther:  // never read
        return;
    }
    reader_.shape(name);
  }

  std::string path_;
  Hdf5Reader reader_;
  std::size_t objects_ = 0, values_ = 0;
};

std::string walk_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  return fmt::format("safetensors, {} tensors", file.entries().size());
}

std::string walk_gguf(const std::string& path) {
  const GgufFile file(path);
  return fmt::format("GGUF, {} metadata keys, {} tensors", file.metadata().size(), file.tensors().size());
}

}  // namespace

std::string walk_file(const std::string& path) {
  char head[4] = {};
  const RandomAccessFile file(path);
  if (file.size() >= sizeof(head)) file.read_at(0, head, sizeof(head));
  const std::string_view magic(head, sizeof(head));
  if (magic == "GGUF") return walk_gguf(path);
  if (path.ends_with(".safetensors")) return walk_safetensors(path);
  return Hdf5Walk(path).run();  // which looks for its signature beyond the start as well, so anything may be such a file
}

}  // namespace thinkrec
