#pragma once
// What the tests of data share: files in a folder of their own, expected errors, and small data sets.

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "core/error.h"
#include "core/joined.h"
#include "data/prepare.h"

namespace thinkrec {

/// A folder for one test, gone afterwards.
class Folder {
 public:
  Folder() {
    static int number = 0;
    path_ = std::filesystem::temp_directory_path() / fmt::format("thinkrec_data_{}_{}", getpid(), number++);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string path(const std::string& name = "") const { return name.empty() ? path_.string() : (path_ / name).string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name), std::ios::binary) << text; }
  void write_gzip(const std::string& name, const std::string& text) const {
    const gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  }
  void remove(const std::string& name) const { std::filesystem::remove(path(name)); }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The body fails with this code, and the message holds all the parts.
template <class Body>
void expect_error(ExitCode code, const std::vector<std::string>& parts, Body body) {
  try {
    body();
    ADD_FAILURE() << "no error; expected one with: " << joined(parts, " | ");
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const std::string& part : parts)
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "'" << part << "' not in: " << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

/// Thirds, so that a handful of interactions fills every split.
inline PrepareOptions options_for(const std::string& format, const Folder& folder) {
  PrepareOptions options;
  options.format = format;
  options.input = folder.path();
  options.name = "tiny";
  options.split = {0.5, 0.25, 0.25};
  return options;
}

/// Three users, three items, six interactions, two in each split, two reasons.
inline Dataset tiny_dataset() {
  Dataset d;
  d.name = "tiny";
  d.noun = {"book", "books"};
  d.threshold = 4;
  d.source_hash = "00ff";
  d.items = {{"b1", "Dune", "sand, spice"}, {"b2", "Émile", ""}, {"b3", "Ulysses", "Dublin"}};
  d.users = {"u1", "u2", "u3"};
  d.user = {0, 0, 0, 1, 1, 2};
  d.item = {0, 1, 2, 1, 1, 0};
  d.label = {1, 0, 1, 1, 1, 0};
  d.timestamp = {10, 20, 60, 30, 50, 40};
  d.user_begin = {0, 3, 5, 6};
  d.splits = {{{0, 1}, {3, 5}, {4, 2}}};
  d.reasons = {{1, "No. Too long.\nReally.", "{\"seed\": 1}"}, {0, "Yes. Sand.", "{}"}};
  return d;
}

inline void expect_equal(const Dataset& a, const Dataset& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.noun.singular, b.noun.singular);
  EXPECT_EQ(a.noun.plural, b.noun.plural);
  EXPECT_EQ(a.threshold, b.threshold);
  EXPECT_EQ(a.source_hash, b.source_hash);
  ASSERT_EQ(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    EXPECT_EQ(a.items[i].id, b.items[i].id);
    EXPECT_EQ(a.items[i].title, b.items[i].title);
    EXPECT_EQ(a.items[i].keywords, b.items[i].keywords);
  }
  EXPECT_EQ(a.users, b.users);
  EXPECT_EQ(a.user, b.user);
  EXPECT_EQ(a.item, b.item);
  EXPECT_EQ(a.label, b.label);
  EXPECT_EQ(a.timestamp, b.timestamp);
  EXPECT_EQ(a.user_begin, b.user_begin);
  EXPECT_EQ(a.splits, b.splits);
  ASSERT_EQ(a.reasons.size(), b.reasons.size());
  for (std::size_t r = 0; r < a.reasons.size(); ++r) {
    EXPECT_EQ(a.reasons[r].row, b.reasons[r].row);
    EXPECT_EQ(a.reasons[r].text, b.reasons[r].text);
    EXPECT_EQ(a.reasons[r].provenance, b.reasons[r].provenance);
  }
}

}  // namespace thinkrec
