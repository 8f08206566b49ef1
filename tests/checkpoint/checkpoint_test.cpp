#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/build_info.h"
#include "core/error.h"
#include "io/file.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / ("thinkrec-checkpoint-" + std::to_string(::getpid()))).string();
  }
  void TearDown() override { fs::remove_all(folder_); }
  CheckpointStore store(Identity identity = {{"recipe", "aa"}, {"model", "bb"}}, int keep = 3) const {
    return {folder_, std::move(identity), keep};
  }
  static Checkpoint made(std::int64_t step) {
    Checkpoint checkpoint{step, {{"best", 0.5}, {"done", false}}, {}};
    checkpoint.tensors.push_back({"now/a", {2, 3}, {1, 2, 3, 4, 5, static_cast<float>(step)}});
    checkpoint.tensors.push_back({"empty", {0}, {}});
    return checkpoint;
  }
  std::string file(std::int64_t step, const char* name) const { return fmt::format("{}/step-{}/{}", folder_, step, name); }
  static void flip(const std::string& path, std::size_t at, int bit) {
    std::string bytes = read_file(path);
    bytes.at(at) = static_cast<char>(bytes[at] ^ (1 << bit));
    std::ofstream(path, std::ios::binary) << bytes;
  }
  std::string folder_;
};

TEST_F(CheckpointTest, ReadsBackWhatWasSaved) {
  EXPECT_FALSE(store().load_latest());
  store().save(made(4));
  const auto back = store().load_latest();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->step, 4);
  EXPECT_EQ(back->facts["best"], 0.5);
  ASSERT_EQ(back->tensors.size(), 2U);
  EXPECT_EQ(back->tensors[0].name, "now/a");
  EXPECT_EQ(back->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(back->tensors[0].values, made(4).tensors[0].values);
  EXPECT_TRUE(back->tensors[1].values.empty());
}

TEST_F(CheckpointTest, TheManifestSaysWhatWroteIt) {
  CheckpointStore(folder_, {{"recipe", "aa"}, {"model", "bb"}}, 1, 8).save(made(4));
  const auto written = nlohmann::json::parse(read_file(file(4, "MANIFEST.json")))["manifest"]["written_by"];
  EXPECT_EQ(written, (nlohmann::json{{"version", program_version()}, {"commit", program_commit()}, {"ranks", 8}}));
  EXPECT_EQ(store().load_latest()->step, 4) << "any number of ranks reads it";
}

TEST_F(CheckpointTest, KeepsTheLastAndTheNewestWins) {
  for (std::int64_t step = 1; step <= 12; ++step) store().save(made(step));
  EXPECT_EQ(store().load_latest()->step, 12);
  EXPECT_FALSE(fs::exists(file(9, "state.h5")));
  EXPECT_TRUE(fs::exists(file(10, "state.h5")));
}

/// R5: what is damaged in either file is noticed before it is used, and the checkpoint before it is taken. THINKREC_SLOW=1 (the ctest
/// checkpoint_damage): ten times as much.
TEST_F(CheckpointTest, DamageIsNoticedWhereverItIs) {
  store().save(made(1));
  store().save(made(2));
  const char* names[] = {"state.h5", "MANIFEST.json"};
  const std::string good[] = {read_file(file(2, names[0])), read_file(file(2, names[1]))};
  std::mt19937 generator(5);
  const int times = std::getenv("THINKREC_SLOW") != nullptr ? 10 : 1;
  int loads = 0;
  std::chrono::steady_clock::duration longest{0};
  const auto damaged = [&](int which, const std::string& bytes) {
    const std::string path = file(2, names[which]);
    fs::remove(path);  // a file system may flush one that is truncated and written again
    std::ofstream(path, std::ios::binary) << bytes;
    const auto start = std::chrono::steady_clock::now();
    const auto back = store().load_latest();
    longest = std::max(longest, std::chrono::steady_clock::now() - start);
    ASSERT_TRUE(back);
    ASSERT_EQ(back->step, 1) << names[which];
    ++loads;
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << good[which];
  };
  ::testing::internal::CaptureStderr();  // thousands of warnings
  for (int i = 0; i < 2700 * times; ++i) {
    const int which = i % 3 == 0 ? 1 : 0;
    std::string bytes = good[which];
    if (i < 2000 * times) {
      char& byte = bytes[generator() % bytes.size()];
      byte = static_cast<char>(byte ^ (1 << generator() % 8));
    } else if (i < 2500 * times) {
      bytes.resize(generator() % bytes.size());
    } else {
      while (bytes == good[which]) {  // drawn again where there were zeros
        const std::size_t at = generator() % bytes.size();
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), std::min<std::size_t>(4096, bytes.size() - at), '\0');
      }
    }
    damaged(which, bytes);
    if (HasFatalFailure()) break;
  }
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(loads, 2700 * times);
  EXPECT_LT(longest, std::chrono::seconds(5));
  store().save(made(3));
  for (const char* name : names) {  // files of two steps, swapped
    const std::string two = read_file(file(2, name)), three = read_file(file(3, name));
    std::ofstream(file(2, name), std::ios::binary) << three;
    std::ofstream(file(3, name), std::ios::binary) << two;
    EXPECT_EQ(store().load_latest()->step, 1) << name;
    std::ofstream(file(2, name), std::ios::binary) << two;
    std::ofstream(file(3, name), std::ios::binary) << three;
  }
  EXPECT_EQ(store().load_latest()->step, 3);
  fs::rename(folder_ + "/step-2", folder_ + "/spare");  // whole folders, swapped: each is sound, and not what its name says
  fs::rename(folder_ + "/step-3", folder_ + "/step-2");
  fs::rename(folder_ + "/spare", folder_ + "/step-3");
  EXPECT_EQ(store().load_latest()->step, 1);
}

TEST_F(CheckpointTest, TruncatedAndMissingFilesFallBack) {
  store().save(made(1));
  for (const char* name : {"state.h5", "MANIFEST.json"}) {
    store().save(made(2));
    const auto size = fs::file_size(file(2, name));
    for (const std::uintmax_t left : {std::uintmax_t{0}, size / 2, size - 1}) {
      fs::resize_file(file(2, name), left);
      EXPECT_EQ(store().load_latest()->step, 1);
    }
    fs::remove(file(2, name));
    EXPECT_EQ(store().load_latest()->step, 1);
  }
}

/// Training that fell back behind damaged ones and saves anew: what it writes is kept, and they go.
TEST_F(CheckpointTest, GoingBackBehindDamagedOnesKeepsWhatIsWritten) {
  for (const int keep : {1, 2}) {
    const CheckpointStore kept = store({{"recipe", "aa"}}, keep);
    kept.save(made(50));
    kept.save(made(100));
    for (const std::int64_t step : {50, 100}) {
      if (fs::exists(file(step, "state.h5"))) fs::resize_file(file(step, "state.h5"), 9);
    }
    EXPECT_FALSE(kept.load_latest());
    kept.save(made(30));
    ASSERT_TRUE(kept.load_latest()) << keep;
    EXPECT_EQ(kept.load_latest()->step, 30);
    EXPECT_FALSE(fs::exists(file(50, "state.h5")) || fs::exists(file(100, "state.h5")));
    kept.save(made(40));
    EXPECT_EQ(kept.load_step(40).step, 40);
    EXPECT_EQ(fs::exists(file(30, "state.h5")), keep == 2);
    fs::remove_all(folder_);
  }
}

TEST_F(CheckpointTest, AFailedSaveLeavesTheRoomForTheNext) {
  store().save(made(1));
  {
    const testing::FileSizeLimit limit(64);
    testing::expect_error(ExitCode::kIo, "step-2.tmp", [&] { store().save(made(2)); });
  }
  EXPECT_FALSE(fs::exists(folder_ + "/step-2.tmp"));
  EXPECT_EQ(store().load_latest()->step, 1);
  store().save(made(3));
  EXPECT_EQ(store().load_latest()->step, 3);
}

TEST_F(CheckpointTest, AHalfWrittenOneIsNotSeenAndCleaned) {
  store().save(made(1));
  fs::create_directories(folder_ + "/step-7.tmp");
  fs::create_directories(folder_ + "/step-8.tmp-old");
  EXPECT_EQ(store().load_latest()->step, 1);
  store().clean();
  EXPECT_FALSE(fs::exists(folder_ + "/step-7.tmp"));
  EXPECT_FALSE(fs::exists(folder_ + "/step-8.tmp-old"));
}

TEST_F(CheckpointTest, RefusesAnotherIdentityByName) {
  store().save(made(1));
  try {
    store({{"recipe", "aa"}, {"model", "cc"}}).load_latest();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    EXPECT_NE(std::string(error.what()).find("model"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("--run-dir"), std::string::npos) << error.what();
  }
}

/// Found by fuzzing: such manifests ended in an exception of the JSON library, or in none at all (a missing "files", a deep one).
TEST_F(CheckpointTest, AManifestOfAnotherShapeIsDamageWhateverItsHash) {
  using Json = nlohmann::json;
  store().save(made(1));
  store().save(made(2));
  const Json good = Json::parse(read_file(file(2, "MANIFEST.json")))["manifest"];
  const auto falls_back = [&](const std::string& text) {
    write_file_synced(file(2, "MANIFEST.json"), text);
    const auto back = store().load_latest();
    ASSERT_TRUE(back);
    EXPECT_EQ(back->step, 1) << text.substr(0, 200);
  };
  const auto hashed = [](const Json& manifest) {
    return Json{{"manifest", manifest}, {"sha256", sha256_hex(manifest.dump())}}.dump(1) + "\n";
  };
  for (const Json& odd : {Json(), Json(3), Json::array(), Json("x")}) {
    falls_back(hashed(odd));
    falls_back(odd.dump());
    falls_back(Json{{"manifest", good}, {"sha256", odd}}.dump());
    for (const char* field : {"files", "identity"}) {
      Json manifest = good;
      manifest[field] = odd;
      falls_back(hashed(manifest));
      manifest.erase(field);
      falls_back(hashed(manifest));
    }
    for (const char* field : {"bytes", "xxh3_128", "sha256"}) {
      Json manifest = good;
      manifest["files"]["state.h5"][field] = odd;
      falls_back(hashed(manifest));
    }
    Json manifest = good;
    manifest["files"]["state.h5"] = odd;
    falls_back(hashed(manifest));
    manifest = good;
    manifest["identity"]["recipe"] = odd == Json("x") ? Json(1.5) : odd;
    if (odd.is_null()) continue;  // a null identity is that of another run: see RefusesAnotherIdentityByName
    falls_back(hashed(manifest));
  }
  falls_back(R"({"sha256":"","manifest":)" + std::string(400'000, '[') + std::string(400'000, ']') + "}");
  for (const Json& schema : {Json("1"), Json(2), Json()}) {
    Json manifest = good;
    manifest["schema"] = schema;
    write_file_synced(file(2, "MANIFEST.json"), hashed(manifest));
    EXPECT_THROW(store().load_latest(), Error) << schema;
  }
}

TEST_F(CheckpointTest, AFolderThatCannotBeMadeIsAnIoError) {
  std::ofstream(folder_) << "a file where the folder should be";
  try {
    store().save(made(1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kIo);
    EXPECT_NE(std::string(error.what()).find(folder_), std::string::npos);
  }
}

}  // namespace
}  // namespace thinkrec
