#pragma once
// A WordNet of five synsets, written into a folder.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"

namespace thinkrec::testing {

/// A folder of this test, deleted with it.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / fmt::format("thinkrec-wordnet-{}-{}", getpid(), ++count())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(*this / name, std::ios::binary) << text; }

 private:
  static int& count() {
    static int folders = 0;
    return folders;
  }
  std::filesystem::path path_;
};

/// Files of WordNet by name. `words` as the data file has them: "dog 0 domestic_dog 1".
inline std::map<std::string, std::string> small_wordnet() {
  const std::string licence = "  1 This is a test.  \n";
  struct Synset {
    std::string part, index_type, type, count, words;
    std::vector<std::string> lemmas;
  };
  const std::vector<Synset> synsets = {
      {"noun", "n", "n", "03", "film 0 motion_picture 0 Movie 0", {"film", "motion_picture", "movie"}},
      {"noun", "n", "n", "02", "mouse 0 rodent 1", {"mouse", "rodent"}},
      {"verb", "v", "v", "03", "like 0 love 2 enjoy 1", {"like", "love", "enjoy"}},
      {"adj", "a", "s", "02", "good(a) 0 fine(ip) f", {"good", "fine"}},
      {"adv", "r", "r", "01", "well 0", {"well"}},
  };
  std::map<std::string, std::string> files = {
      {"noun.exc", "mice mouse\n"}, {"verb.exc", ""}, {"adj.exc", "better good well\n"}, {"adv.exc", "better well\n"}};
  for (const Synset& synset : synsets) {
    std::string &data = files["data." + synset.part], &index = files["index." + synset.part];
    if (data.empty()) data = index = licence;
    const std::size_t offset = data.size();
    data += fmt::format("{:08} 03 {} {} {} 000 | a gloss  \n", offset, synset.type, synset.count, synset.words);
    for (const std::string& lemma : synset.lemmas)
      index += fmt::format("{} {} 1 2 @ ~ 1 0 {:08}  \n", lemma, synset.index_type, offset);
  }
  return files;
}

inline void write_small_wordnet(const Folder& folder) {
  for (const auto& [name, text] : small_wordnet()) folder.write(name, text);
}

}  // namespace thinkrec::testing
