#include "eval/wordnet.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>

#include "core/error.h"
#include "io/file.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

constexpr std::uint64_t kLongestFile = std::uint64_t{256} << 20;

struct Ending {
  std::string_view from, to;
};

struct PartOfSpeech {
  const char* name;
  char index_type;              ///< in the index
  std::string_view data_types;  ///< in the data: s is an adjective, too
  std::span<const Ending> endings;
};

// Rules of detachment, morphy(7WN).
constexpr Ending kNoun[] = {{"s", ""},      {"ses", "s"},   {"ves", "f"},   {"xes", "x"}, {"zes", "z"},
                            {"ches", "ch"}, {"shes", "sh"}, {"men", "man"}, {"ies", "y"}};
constexpr Ending kVerb[] = {{"s", ""}, {"ies", "y"}, {"es", "e"}, {"es", ""}, {"ed", "e"}, {"ed", ""}, {"ing", "e"}, {"ing", ""}};
constexpr Ending kAdjective[] = {{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}};
constexpr PartOfSpeech kParts[] = {
    {"noun", 'n', "n", kNoun}, {"verb", 'v', "v", kVerb}, {"adj", 'a', "as", kAdjective}, {"adv", 'r', "r", {}}};

std::string read_part(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    fail(ExitCode::kNoInput,
         "{}: no such file of WordNet; install the package wordnet-base, or pass the folder of WordNet 3.0 (--wordnet)", path);
  }
  return read_file(path, kLongestFile);
}

/// Lines of a file, and the fields of the line it is at.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), text_(read_part(path)) {}

  /// To the next line that is not part of the licence (two blanks in front); false at the end.
  bool next() {
    do {
      if (end_ == text_.size()) return false;
      begin_ = end_;
      end_ = std::min(text_.find('\n', begin_), text_.size() - 1) + 1;
      rest_ = std::string_view(text_).substr(begin_, end_ - begin_);
      ++number_;
    } while (rest_.starts_with("  "));
    return true;
  }

  std::size_t offset() const { return begin_; }

  /// The next field; empty where there is none.
  std::string_view field() {
    constexpr std::string_view kBlank = " \t\r\n";
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlank), rest_.size()));
    const std::string_view found = rest_.substr(0, rest_.find_first_of(kBlank));
    rest_.remove_prefix(found.size());
    return found;
  }

  std::string_view word(const char* what) {
    const std::string_view found = field();
    if (found.empty()) bad(fmt::format("the {} is missing", what));
    return found;
  }

  std::uint32_t number(const char* what, int base, std::uint32_t least) {
    const std::string_view found = word(what);
    std::uint32_t value = 0;
    const auto [stop, code] = std::from_chars(found.data(), found.data() + found.size(), value, base);
    if (code != std::errc() || stop != found.data() + found.size() || value < least)
      bad(fmt::format("the {} cannot be {}", what, in_quotes(found)));
    return value;
  }

  [[noreturn]] void bad(const std::string& what) const {
    fail(ExitCode::kBadData, "{}:{}: {}; is this a file of WordNet 3.0?", path_, number_, what);
  }

 private:
  std::string path_, text_;
  std::string_view rest_;
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t number_ = 0;
};

}  // namespace

WordNet::WordNet(const std::string& folder) {
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const std::string name = kParts[p].name;
    const auto at = read_data(folder + "/data." + name, kParts[p].data_types);
    read_index(folder + "/index." + name, kParts[p].index_type, at, parts_[p]);
    read_exceptions(folder + "/" + name + ".exc", parts_[p]);
    synsets_ += static_cast<std::int64_t>(at.size());
  }
}

std::unordered_map<std::uint32_t, WordNet::Words> WordNet::read_data(const std::string& path, std::string_view types) {
  std::unordered_map<std::uint32_t, Words> at;
  Lines lines(path);
  while (lines.next()) {
    const std::uint32_t offset = lines.number("offset", 10, 0);
    if (offset != lines.offset())
      lines.bad(fmt::format("the synset says it is at byte {}, and is at {}", offset, lines.offset()));
    lines.number("lexicographer file", 10, 0);
    const std::string_view type = lines.word("type of synset");
    if (type.size() != 1 || types.find(type[0]) == std::string_view::npos)
      lines.bad(fmt::format("the type of synset cannot be {}", in_quotes(type)));
    const std::uint32_t count = lines.number("number of words", 16, 1);
    Words words = {static_cast<std::uint32_t>(words_.size()), 0};
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::string_view word = lines.word("word");
      lines.number("id of a word", 16, 0);
      if (word.find('_') != std::string_view::npos) continue;
      words_.emplace_back(word.substr(0, word.ends_with(')') ? word.rfind('(') : word.size()));  // without (a), (p) or (ip)
      ++words.count;
    }
    at.emplace(offset, words);
  }
  if (at.empty()) fail(ExitCode::kBadData, "{}: no synset in it; is this a file of WordNet 3.0?", path);
  return at;
}

void WordNet::read_index(const std::string& path, char type, const std::unordered_map<std::uint32_t, Words>& at, Part& part) {
  Lines lines(path);
  while (lines.next()) {
    const std::string_view lemma = lines.word("lemma");
    if (lines.word("part of speech") != std::string_view(&type, 1))
      lines.bad(fmt::format("the part of speech is not '{}'", type));
    const std::uint32_t synsets = lines.number("number of synsets", 10, 1);
    const std::uint32_t pointers = lines.number("number of pointers", 10, 0);
    for (std::uint32_t i = 0; i < pointers; ++i) lines.word("symbol of a pointer");
    if (lines.number("number of senses", 10, 1) != synsets) lines.bad("the numbers of senses and of synsets differ");
    lines.number("number of tagged senses", 10, 0);
    std::vector<Words>& of_lemma = part.lemmas[std::string(lemma)];
    of_lemma.clear();
    for (std::uint32_t i = 0; i < synsets; ++i) {
      const auto found = at.find(lines.number("offset of a synset", 10, 0));
      if (found == at.end()) lines.bad(fmt::format("{} has a synset that the data file lacks", in_quotes(lemma)));
      of_lemma.push_back(found->second);
    }
  }
  if (part.lemmas.empty()) fail(ExitCode::kBadData, "{}: no lemma in it; is this a file of WordNet 3.0?", path);
}

void WordNet::read_exceptions(const std::string& path, Part& part) {
  Lines lines(path);
  while (lines.next()) {
    std::vector<std::string>& bases = part.exceptions[std::string(lines.word("inflected form"))];
    bases = {std::string(lines.word("base form"))};
    for (std::string_view base = lines.field(); !base.empty(); base = lines.field()) bases.emplace_back(base);
  }
}

std::int64_t WordNet::lemmas() const {
  std::int64_t count = 0;
  for (const Part& part : parts_) count += static_cast<std::int64_t>(part.lemmas.size());
  return count;
}

std::vector<std::string> WordNet::synonyms(std::string_view word) const {
  std::vector<std::string> found;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    std::vector<std::string> forms = {std::string(word)};
    if (const auto exception = part.exceptions.find(forms[0]); exception != part.exceptions.end()) {
      forms.insert(forms.end(), exception->second.begin(), exception->second.end());
    } else {
      for (const Ending& ending : kParts[p].endings) {
        if (word.ends_with(ending.from))
          forms.push_back(std::string(word.substr(0, word.size() - ending.from.size())).append(ending.to));
      }
    }
    for (const std::string& form : forms) {
      const auto lemma = part.lemmas.find(form);
      if (lemma == part.lemmas.end()) continue;
      for (const Words& words : lemma->second) {
        const auto first = words_.begin() + words.begin;
        found.insert(found.end(), first, first + words.count);
      }
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace thinkrec
