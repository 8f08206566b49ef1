#include <algorithm>
#include <cmath>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "eval/porter.h"
#include "eval/text_metrics.h"

namespace thinkrec {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct Word {
  std::size_t place;  ///< in its text
  std::string text;
};

/// One to one between the words of two texts, and those that are left.
class Alignment {
 public:
  Alignment(TokenSpan reference, TokenSpan candidate) : match_(candidate.size(), kNone) {
    for (const std::string& token : reference) reference_.push_back({reference_.size(), token});
    for (const std::string& token : candidate) candidate_.push_back({candidate_.size(), token});
  }

  void stem() {
    for (auto* words : {&reference_, &candidate_}) {
      for (Word& word : *words) word.text = porter_stem(word.text);
    }
  }

  /// From the candidate's last word on: the last free reference word that is one of forms_of(word).
  template <class FormsOf>
  void match(const FormsOf& forms_of) {
    std::unordered_map<std::string, std::vector<std::size_t>> free;  // indices into reference_, ascending
    for (std::size_t j = 0; j < reference_.size(); ++j) free[reference_[j].text].push_back(j);
    std::vector<bool> taken(reference_.size());
    for (std::size_t i = candidate_.size(); i-- > 0;) {
      std::vector<std::size_t>* best = nullptr;
      for (const std::string& form : forms_of(candidate_[i].text)) {
        const auto found = free.find(form);
        if (found != free.end() && !found->second.empty() && (best == nullptr || found->second.back() > best->back()))
          best = &found->second;
      }
      if (best == nullptr) continue;
      taken[best->back()] = true;
      match_[candidate_[i].place] = reference_[best->back()].place;
      best->pop_back();
    }
    std::erase_if(candidate_, [&](const Word& word) { return match_[word.place] != kNone; });
    std::size_t j = 0;
    std::erase_if(reference_, [&](const Word&) { return taken[j++]; });
  }

  std::size_t matches() const {
    return match_.size() - static_cast<std::size_t>(std::count(match_.begin(), match_.end(), kNone));
  }

  /// Runs of matches that are adjacent and in order in both texts.
  std::size_t chunks() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < match_.size(); ++i)
      count += match_[i] != kNone && (i == 0 || match_[i - 1] == kNone || match_[i] != match_[i - 1] + 1);
    return count;
  }

 private:
  std::vector<std::size_t> match_;  ///< by place in the candidate: the place in the reference
  std::vector<Word> reference_, candidate_;
};

}  // namespace

double meteor(TokenSpan reference, TokenSpan candidate, const WordNet& wordnet) {
  constexpr double kAlpha = 0.9, kBeta = 3, kGamma = 0.5;
  Alignment alignment(reference, candidate);
  const auto itself = [](const std::string& word) { return TokenSpan(&word, 1); };
  alignment.match(itself);
  alignment.stem();
  alignment.match(itself);
  alignment.match([&](const std::string& word) {
    Tokens forms = wordnet.synonyms(word);
    forms.push_back(word);
    return forms;
  });
  const auto matches = static_cast<double>(alignment.matches());
  if (matches == 0) return 0;
  const double precision = matches / static_cast<double>(candidate.size()),
               recall = matches / static_cast<double>(reference.size());
  const double mean = precision * recall / (kAlpha * precision + (1 - kAlpha) * recall);
  return mean * (1 - kGamma * std::pow(static_cast<double>(alignment.chunks()) / matches, kBeta));
}

}  // namespace thinkrec
