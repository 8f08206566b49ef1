#include "data/dataset.h"

#include "data/data_testing.h"
#include "io/file.h"
#include "io/hdf5.h"

namespace thinkrec {
namespace {

TEST(Dataset, HistoryBegin) {
  const Dataset d = tiny_dataset();
  EXPECT_EQ(d.history_begin(0, 0), 0);
  EXPECT_EQ(d.history_begin(0, 5), 0);
  EXPECT_EQ(d.history_begin(2, 0), 0);
  EXPECT_EQ(d.history_begin(2, 1), 1);
  EXPECT_EQ(d.history_begin(2, 2), 0);
  EXPECT_EQ(d.history_begin(2, 3), 0);
  EXPECT_EQ(d.history_begin(3, 10), 3);  // the user's first: empty
  EXPECT_EQ(d.history_begin(4, 10), 3);
  EXPECT_EQ(d.history_begin(5, 1), 5);
  expect_error(ExitCode::kInternal, {"row 6 of 6"}, [&] { d.history_begin(6, 0); });
  expect_error(ExitCode::kInternal, {"limit -1"}, [&] { d.history_begin(0, -1); });
}

TEST(Dataset, ParseSplit) {
  EXPECT_EQ(parse_split("train"), Split::kTrain);
  EXPECT_EQ(parse_split("valid"), Split::kValid);
  EXPECT_EQ(parse_split("test"), Split::kTest);
  expect_error(ExitCode::kConfig, {"'dev'", "train, valid, test"}, [] { parse_split("dev"); });
  expect_error(ExitCode::kConfig, {"''"}, [] { parse_split(""); });
}

TEST(Dataset, HashIsStableAndSeesEverythingButReasons) {
  const Dataset base = tiny_dataset();
  const std::string hash = base.hash();
  EXPECT_EQ(hash, "b3763fdba3113fc75f48241344fafe436a38c6f76d7d0fb1be72f8d024e466bc");  // made by Python's hashlib; run
                                                                                        // directories hold it: it must not change

  Dataset other = base;
  other.reasons.clear();
  EXPECT_EQ(other.hash(), hash);
  const std::vector<std::function<void(Dataset&)>> changes = {
      [](Dataset& d) { d.name = "tinz"; },
      [](Dataset& d) {
        d.noun = {"boo", "kbooks"};
      },
      [](Dataset& d) { d.threshold = 3.5; },
      [](Dataset& d) { d.source_hash = "00fe"; },
      [](Dataset& d) { d.items[0].id = "b0"; },
      [](Dataset& d) { d.items[1].title = "Emile"; },
      [](Dataset& d) { d.items[1].keywords = "Ulysses"; },
      [](Dataset& d) { std::swap(d.users[0], d.users[1]); },
      [](Dataset& d) { d.user[0] = 1; },
      [](Dataset& d) { d.item[0] = 1; },
      [](Dataset& d) { d.label[5] = 1; },
      [](Dataset& d) { d.timestamp[5] = 41; },
      [](Dataset& d) { std::swap(d.splits[0][0], d.splits[0][1]); },
      [](Dataset& d) { std::swap(d.splits[1], d.splits[2]); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    other = base;
    changes[i](other);
    EXPECT_NE(other.hash(), hash) << "change " << i;
  }
}

TEST(Dataset, CheckNamesEveryDefect) {
  tiny_dataset().check("d.h5");
  struct Case {
    const char* part;
    std::function<void(Dataset&)> change;
  };
  const std::vector<Case> cases = {
      {"noun", [](Dataset& d) { d.noun.plural = ""; }},
      {"threshold", [](Dataset& d) { d.threshold = std::numeric_limits<double>::quiet_NaN(); }},
      {"name: is not UTF-8", [](Dataset& d) { d.name = "caf\xe9"; }},
      {"noun: is not UTF-8", [](Dataset& d) { d.noun.singular = "caf\xe9"; }},
      {"items[1]: a text is not UTF-8", [](Dataset& d) { d.items[1].keywords = "caf\xe9"; }},
      {"users[2]: the id is not UTF-8", [](Dataset& d) { d.users[2] = "caf\xe9"; }},
      {"items[1]: the id 'b1' stands there twice", [](Dataset& d) { d.items[1].id = "b1"; }},
      {"items[2]: the title is empty", [](Dataset& d) { d.items[2].title = ""; }},
      {"users[2]: the id 'u1' stands there twice", [](Dataset& d) { d.users[2] = "u1"; }},
      {"item: 5 values for 6 interactions", [](Dataset& d) { d.item.pop_back(); }},
      {"label: 7 values for 6 interactions", [](Dataset& d) { d.label.push_back(0); }},
      {"timestamp: 0 values for 6 interactions", [](Dataset& d) { d.timestamp.clear(); }},
      {"user_begin: 3 offsets for 3 users", [](Dataset& d) { d.user_begin.pop_back(); }},
      {"user_begin: does not run from 0", [](Dataset& d) { d.user_begin[0] = 1; }},
      {"user_begin: does not run from 0", [](Dataset& d) { d.user_begin[3] = 7; }},
      {"user_begin[1]: 9 is out of order", [](Dataset& d) { d.user_begin[1] = 9; }},
      {"user_begin[2]: 2 is out of order", [](Dataset& d) { d.user_begin[2] = 2; }},
      {"user[2]: is 1, user_begin says 0", [](Dataset& d) { d.user[2] = 1; }},
      {"item[4]: 3 is none of 3 items", [](Dataset& d) { d.item[4] = 3; }},
      {"item[4]: -1 is none", [](Dataset& d) { d.item[4] = -1; }},
      {"label[0]: is 2", [](Dataset& d) { d.label[0] = 2; }},
      {"timestamp[4]: is earlier", [](Dataset& d) { d.timestamp[4] = 29; }},
      {"splits/valid: the split is empty", [](Dataset& d) { d.splits[1].clear(); }},
      {"splits/test[1]: 6 is none of 6 interactions", [](Dataset& d) { d.splits[2][1] = 6; }},
      {"splits/train[0]: -1 is none", [](Dataset& d) { d.splits[0][0] = -1; }},
      {"splits/valid[0]: interaction 1 is in a split already", [](Dataset& d) { d.splits[1][0] = 1; }},
      {"splits/train[1]: interaction 0 is in a split already", [](Dataset& d) { d.splits[0][1] = 0; }},
      {"reasons[0]: row 3 is no train interaction", [](Dataset& d) { d.reasons[0].row = 3; }},
      {"reasons[1]: row 0 has one already", [](Dataset& d) { d.reasons[1].row = d.reasons[0].row = 0; }},
      {"reasons[1]: row 99 is no train interaction", [](Dataset& d) { d.reasons[1].row = 99; }},
      {"reasons[1]: row -1 is no train interaction", [](Dataset& d) { d.reasons[1].row = -1; }},
  };
  for (const Case& one : cases) {
    Dataset d = tiny_dataset();
    one.change(d);
    expect_error(ExitCode::kBadData, {"d.h5", one.part, "thinkrec_prepare"}, [&] { d.check("d.h5"); });
  }
}

TEST(DatasetStore, RoundTrip) {
  const Folder folder;
  const std::string path = folder.path("data.h5");
  Dataset d = tiny_dataset();
  d.items[2].keywords = std::string(100000, 'k');
  d.items[1].profile = "Category: War. \xc3\x89";
  save_dataset(d, path);
  const Dataset loaded = load_dataset(path);
  expect_equal(loaded, d);
  EXPECT_EQ(loaded.hash(), d.hash());
  EXPECT_EQ(loaded.items[1].profile, d.items[1].profile);
  EXPECT_EQ(loaded.items[0].profile, "");
  d.items[1].profile.clear();
  EXPECT_EQ(loaded.hash(), d.hash());  // nothing that is trained on
  d.reasons.clear();                   // and over an existing file
  save_dataset(d, path);
  expect_equal(load_dataset(path), d);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);  // no temporary file is left
}

TEST(DatasetStore, SameBytesForTheSameData) {
  const Folder folder;
  save_dataset(tiny_dataset(), folder.path("a.h5"));
  save_dataset(tiny_dataset(), folder.path("b.h5"));
  EXPECT_EQ(read_file(folder.path("a.h5")), read_file(folder.path("b.h5")));
}

TEST(DatasetStore, SaveRefusesWhatLoadWould) {
  const Folder folder;
  Dataset d = tiny_dataset();
  d.label[0] = 7;
  expect_error(ExitCode::kBadData, {"x.h5", "label[0]"}, [&] { save_dataset(d, folder.path("x.h5")); });
  EXPECT_FALSE(std::filesystem::exists(folder.path("x.h5")));
  expect_error(ExitCode::kIo, {"no-such-folder"}, [&] { save_dataset(tiny_dataset(), folder.path("no-such-folder/x.h5")); });
}

/// A file of parts: what save_dataset writes, with one part left out or made anew.
void write_variant(const std::string& path, const std::string& changed, const std::function<void(Hdf5Writer&)>& instead) {
  Hdf5Writer w;
  const auto part = [&](const std::string& name, auto write) {
    if (name != changed) write();
  };
  const std::vector<std::int64_t> rows = {0, 1};
  const std::vector<std::string> texts = {"a", "b"};
  part("schema", [&] { w.attribute("schema", "thinkrec data set"); });
  part("schema_version", [&] { w.attribute("schema_version", std::int64_t{1}); });
  part("name", [&] { w.attribute("name", "n"); });
  part("noun_singular", [&] { w.attribute("noun_singular", "item"); });
  part("noun_plural", [&] { w.attribute("noun_plural", "items"); });
  part("source_hash", [&] { w.attribute("source_hash", ""); });
  part("threshold", [&] { w.write("threshold", std::vector<double>{4}); });
  for (const char* name : {"items/id", "items/title", "items/keywords", "users"}) part(name, [&] { w.write(name, texts); });
  part("interactions/user", [&] { w.write("interactions/user", std::vector<std::int32_t>{0, 0, 1}); });
  part("interactions/item", [&] { w.write("interactions/item", std::vector<std::int32_t>{0, 1, 1}); });
  part("interactions/label", [&] { w.write("interactions/label", std::vector<std::uint8_t>{0, 1, 1}); });
  part("interactions/timestamp", [&] { w.write("interactions/timestamp", std::vector<std::int64_t>{1, 2, 3}); });
  part("user_begin", [&] { w.write("user_begin", std::vector<std::int64_t>{0, 2, 3}); });
  part("splits/train", [&] { w.write("splits/train", std::vector<std::int64_t>{0}); });
  part("splits/valid", [&] { w.write("splits/valid", std::vector<std::int64_t>{1}); });
  part("splits/test", [&] { w.write("splits/test", std::vector<std::int64_t>{2}); });
  part("reasons/row", [&] { w.write("reasons/row", std::vector<std::int64_t>{0}); });
  part("reasons/text", [&] { w.write("reasons/text", std::vector<std::string>{"Yes."}); });
  part("reasons/provenance", [&] { w.write("reasons/provenance", std::vector<std::string>{"{}"}); });
  if (instead) instead(w);
  write_file_atomic(path, w.finish());
}

TEST(DatasetStore, LoadRefusesNamingFileAndField) {
  const Folder folder;
  const std::string path = folder.path("bad.h5");
  const auto refuse = [&](const std::string& changed, const std::function<void(Hdf5Writer&)>& instead,
                          std::vector<std::string> parts) {
    write_variant(path, changed, instead);
    parts.push_back(path);
    expect_error(ExitCode::kBadData, parts, [&] { load_dataset(path); });
  };
  write_variant(path, "", {});
  EXPECT_EQ(load_dataset(path).interactions(), 3);

  for (const char* name : {"schema",
                           "schema_version",
                           "name",
                           "noun_singular",
                           "noun_plural",
                           "source_hash",
                           "threshold",
                           "items/id",
                           "items/title",
                           "items/keywords",
                           "users",
                           "interactions/user",
                           "interactions/item",
                           "interactions/label",
                           "interactions/timestamp",
                           "user_begin",
                           "splits/train",
                           "splits/valid",
                           "splits/test",
                           "reasons/row",
                           "reasons/text",
                           "reasons/provenance"}) {
    refuse(name, {}, {name});
  }
  refuse("schema", [](Hdf5Writer& w) { w.attribute("schema", "a checkpoint"); }, {"'schema'", "'a checkpoint'"});
  refuse("schema_version", [](Hdf5Writer& w) { w.attribute("schema_version", std::int64_t{2}); },
         {"'schema_version' is 2", "version 1", "thinkrec_prepare"});
  refuse("threshold", [](Hdf5Writer& w) { w.write("threshold", std::vector<double>{4, 5}); }, {"'threshold' has 2 values"});
  refuse("items/title", [](Hdf5Writer& w) { w.write("items/title", std::vector<std::string>{"a"}); },
         {"'items/title' has 1 values where there are 2"});
  refuse("reasons/text", [](Hdf5Writer& w) { w.write("reasons/text", std::vector<std::string>{}); },
         {"'reasons/text' has 0 values"});
  refuse("interactions/user",
         [](Hdf5Writer& w) {
           w.write("interactions/user", std::vector<std::int64_t>{0, 0, 1});
         },
         {"interactions/user"});
  refuse("interactions/item",
         [](Hdf5Writer& w) {
           w.write("interactions/item", std::vector<std::int32_t>{0, 2, 1});
         },
         {"item[1]: 2"});
  refuse("splits/test", [](Hdf5Writer& w) { w.write("splits/test", std::vector<std::int64_t>{}); },
         {"splits/test: the split is empty"});
  refuse("reasons/row", [](Hdf5Writer& w) { w.write("reasons/row", std::vector<std::int64_t>{2}); }, {"reasons[0]: row 2"});
  refuse("users",
         [](Hdf5Writer& w) {
           w.write("users", std::vector<std::string>{"a", "b", "c"});
         },
         {"user_begin: 3 offsets for 3 users"});
  expect_error(ExitCode::kNoInput, {"nowhere.h5"}, [&] { load_dataset(folder.path("nowhere.h5")); });
  folder.write("text.h5", "user,item\n");
  expect_error(ExitCode::kBadData, {"text.h5"}, [&] { load_dataset(folder.path("text.h5")); });
}

TEST(DatasetStore, DamagedFilesAreRefusedOrWhole) {
  const Folder folder;
  const std::string path = folder.path("data.h5");
  const Dataset whole = tiny_dataset();
  save_dataset(whole, path);
  const std::string good = read_file(path);
  std::mt19937 random(7);
  int refused = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    std::string bytes = good;
    const bool cut = trial % 3 == 0;
    if (cut) {
      bytes.resize(random() % bytes.size());
    } else {
      bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
    }
    folder.write("data.h5", bytes);
    try {
      const Dataset loaded = load_dataset(path);  // a byte that nothing reads
      EXPECT_FALSE(cut) << bytes.size() << " of " << good.size() << " bytes were read as a whole data set";
      EXPECT_EQ(loaded.hash(), whole.hash());
      expect_equal(loaded, whole);  // reasons, too, which the hash leaves out
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.code(), ExitCode::kBadData) << error.what();
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(refused, 250);  // 269 with HDF5 1.10: nothing reads a byte of six
}

}  // namespace
}  // namespace thinkrec
