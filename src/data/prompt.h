#pragma once
// From a row of the data set to the tokens the model reads (paper, appendix B.2). Each item is tokenised once; a prompt is put
// together from pieces, so that train, evaluation and serving see the same tokens.

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "text/tokenizer.h"

namespace thinkrec {

struct PromptConfig {
  /// With <HisItemList>, <UserID>, <TargetItemTitle>, <TargetItemID>, <Soft:N> (N learnt tokens), {item}, {items}.
  std::string template_text;
  bool features = true;       ///< collaborative features at their slots
  bool keywords = true;       ///< "with description: ..." where an item has keywords
  bool labels = true;         ///< "(evaluation: Yes|No)" in the history
  bool disliked = true;       ///< disliked items are part of the history
  std::int64_t history = 10;  ///< at most so many items, the latest
  /// The history's first item moves in steps of half of `history`, not with every row, so that rows of one user begin alike; between half
  /// of `history` and all of it is shown.
  bool anchored = false;
  std::int64_t max_tokens = 2048;  ///< of prompt and answer; the oldest history goes first, never the question
};

/// The named templates: "thinkrec" (B.2), "text" (the same without the features' clauses), and those of Prompt4NR (Zhang and Wang
/// 2023) for items: "hard" (words alone), "soft" (learnt tokens alone), "hybrid" (both). kConfig lists them otherwise.
std::string prompt_template(const std::string& name);
/// Whether it has collaborative features, and how many learnt tokens.
bool template_has_features(const std::string& template_text);
std::int64_t soft_tokens(const std::string& template_text);

/// What a slot of a prompt takes its vector from: an item of the history, the user just before a row, the item in question for that
/// user, or a learnt token.
struct FeatureRef {
  enum class Kind : std::uint8_t { kItem, kUser, kTarget, kSoft } kind;
  std::int64_t index;      ///< kItem: item number; kUser, kTarget: interaction index of the row; kSoft: which token
  std::int64_t item = -1;  ///< kTarget: item number
};

/// One row as the model sees it.
struct EncodedRow {
  std::int64_t row = 0;             ///< interaction index
  std::vector<std::int32_t> token;  ///< prompt, then answer; -1 - s is feature slot s of this row
  std::vector<FeatureRef> slots;
  std::int64_t prompt_length = 0;
  float label = 0;
  bool reason = false;  ///< the answer is an explanation
  std::int64_t answer_length() const { return static_cast<std::int64_t>(token.size()) - prompt_length; }
};

/// Ids of the first tokens of "Yes" and "No". kBadData when the tokenizer makes them the same.
struct VerdictTokens {
  std::int32_t yes, no;
};
VerdictTokens verdict_tokens(const Tokenizer& tokenizer);

class PromptBuilder {
 public:
  PromptBuilder(const Dataset& dataset, const Tokenizer& tokenizer, PromptConfig config);

  /// The prompt alone. kBadData when the question does not fit in max_tokens even without history.
  EncodedRow prompt(std::int64_t row) const;
  /// The prompt for an item that the user has not met: history up to (not including) interaction index `before`.
  EncodedRow prompt_for(std::int64_t user, std::int64_t before, std::int32_t item) const;
  /// The prompt and its one-token answer, Yes or No.
  EncodedRow recommendation(std::int64_t row) const;
  /// The prompt and an explanation, closed by the end-of-sequence token where the model has one.
  EncodedRow reason(const Reason& reason) const;

  const PromptConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const VerdictTokens& verdicts() const { return verdicts_; }
  /// SHA-256 of the settings, template and tokenizer: two builders with the same hash make the same prompts of the same data.
  std::string hash() const;

 private:
  struct Piece {  // part of the template: literal tokens, or a placeholder
    enum class Kind { kLiteral, kHistory, kUserFeature, kTargetTitle, kTargetFeature, kSoft } kind;
    std::vector<std::int32_t> tokens;
    std::int64_t first = 0, count = 0;  // kSoft
  };
  struct ItemTokens {
    std::vector<std::int32_t> title;        // ` "Title"`
    std::vector<std::int32_t> description;  // ` with description: a, b`, empty without keywords
  };
  EncodedRow build(std::int64_t user, std::int64_t begin, std::int64_t end, std::int32_t item, FeatureRef user_ref,
                   std::int64_t answer_room) const;
  const ItemTokens& item_tokens(std::int32_t item) const;

  const Dataset& dataset_;
  const Tokenizer& tokenizer_;
  PromptConfig config_;
  VerdictTokens verdicts_;
  std::vector<Piece> pieces_;
  std::vector<std::int32_t> feature_words_, evaluation_yes_, evaluation_no_, separator_, nothing_;
  mutable std::vector<ItemTokens> items_;
  mutable std::vector<bool> item_ready_;
};

}  // namespace thinkrec
