#pragma once
// Synonyms from the database files of WordNet 3.0 (Fellbaum 1998; formats: wndb(5WN)).

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace thinkrec {

class WordNet {
 public:
  /// Where Debian's package wordnet-base puts the files.
  static constexpr const char* kFolder = "/usr/share/wordnet";

  /// Reads index.*, data.* and *.exc for noun, verb, adj and adv. Errors: kNoInput when a file is not there, saying what to install;
  /// kBadData with file:line for whatever is not as wndb(5WN) has it, an entry of an index without its synset, or a file of more than
  /// 256 MiB.
  explicit WordNet(const std::string& folder = kFolder);

  /// The words of all synsets of a lower-case word and of its base forms, sorted, each once, in the case they are written in; those of
  /// several words are left out. Base forms are those of morphy(7WN) as NLTK applies it: the exceptions, else one detached ending; an
  /// unknown word has none.
  std::vector<std::string> synonyms(std::string_view word) const;

  std::int64_t synsets() const { return synsets_; }
  std::int64_t lemmas() const;  ///< words and phrases with their part of speech

 private:
  struct Words {
    std::uint32_t begin, count;  ///< of words_
  };
  struct Part {  ///< of speech
    std::unordered_map<std::string, std::vector<Words>> lemmas;
    std::unordered_map<std::string, std::vector<std::string>> exceptions;
  };

  std::unordered_map<std::uint32_t, Words> read_data(const std::string& path, std::string_view types);
  void read_index(const std::string& path, char type, const std::unordered_map<std::uint32_t, Words>& at, Part& part);
  static void read_exceptions(const std::string& path, Part& part);

  std::vector<std::string> words_;
  std::array<Part, 4> parts_;  ///< noun, verb, adjective, adverb
  std::int64_t synsets_ = 0;
};

}  // namespace thinkrec
