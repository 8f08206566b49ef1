#pragma once
// From a row of the data set to the tokens the model reads (paper, appendix B.2). A prompt is runs of text between slots for
// vectors; its tokens are those of each run as a whole. Where the tokenizer allows for it (text/seam.h), each item is tokenised
// once and prompts are put together from pieces, which gives the same tokens.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/ended_text.h"
#include "text/tokenizer.h"

namespace thinkrec {

struct PromptConfig {
  /// With <HisItemList>, <UserID>, <TargetItemTitle>, <TargetItemID>, <Soft:N> (N learnt tokens), {item}, {items}.
  std::string template_text;
  bool features = true;          ///< collaborative features at their slots
  bool history_features = true;  ///< also behind the history's items
  bool keywords = true;          ///< "with description: ..." where an item has keywords
  bool labels = true;            ///< "(evaluation: Yes|No)" in the history
  bool disliked = true;          ///< disliked items are part of the history
  std::int64_t history = 10;     ///< at most so many items, the latest
  /// The history's first item moves in steps of half of `history`, not with every row, so that rows of one user begin alike; between half
  /// of `history` and all of it is shown.
  bool anchored = false;
  std::int64_t max_tokens = 2048;  ///< of prompt and answer; the oldest history goes first, never the question
};

/// The named templates: "thinkrec" (B.2), "text" (the same without the features' clauses); over a history of what was liked those of
/// "tallrec" (Bao et al. 2023), "collm" (Zhang et al. 2023: with features of the user and the item in question) and Prompt4NR (Zhang and
/// Wang 2023) for items: "hard" (words alone), "soft" (learnt tokens alone), "hybrid" (both). kConfig lists them otherwise.
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

/// The functions may be called by several threads at once.
/// Part of what a checkpoint belongs to: another one where the same settings and data make other tokens.
inline constexpr const char* kPromptRules = "2";

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

  /// Tokens of recommendation(row) and reason(reason), without making them where prompts are made of pieces.
  std::int64_t recommendation_tokens(std::int64_t row) const;
  std::int64_t reason_tokens(const Reason& reason) const;
  /// The least that a row about the item takes, and a reason: without history. More than max_tokens: it cannot be asked.
  std::int64_t least_tokens(std::int32_t item) const;
  std::int64_t least_tokens(const Reason& reason) const;

  /// prompt(row) with every run of text tokenised as a whole: what pieces are held to.
  EncodedRow prompt_of_whole_runs(std::int64_t row) const;
  /// Whether prompts are made of pieces: the tokenizer cuts at seams, and the template leaves seams between its parts.
  bool in_pieces() const { return in_pieces_; }

  const PromptConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const VerdictTokens& verdicts() const { return verdicts_; }
  /// SHA-256 of the settings, template and tokenizer: two builders with the same hash make the same prompts of the same data.
  std::string hash() const;

 private:
  struct Piece {  // part of the template: literal text, or a placeholder
    enum class Kind { kLiteral, kHistory, kUserFeature, kTargetTitle, kTargetFeature, kSoft } kind;
    std::string text;                   // kLiteral
    std::vector<std::int32_t> tokens;   // kLiteral: of its text behind what ends the placeholder before it
    std::size_t end = 0;                // kHistory, kTargetTitle: what follows it directly, as EndedText::end has it
    std::int64_t first = 0, count = 0;  // kSoft
  };
  /// What is asked about, and the part of the history that is shown.
  struct Question {
    std::int32_t item;
    FeatureRef user;
    std::vector<std::int64_t> history;  // interactions, the oldest first
  };
  struct ItemTexts {
    EndedText title;        // ` "Title"`
    EndedText description;  // ` with description: a, b`, empty without keywords
  };
  class TokenWriter;
  class TokenCounter;
  class RunWriter;

  void read_template();
  void add_literal(std::string text, bool before_placeholder);
  void cut_template();
  Question ask(std::int64_t user, std::int64_t begin, std::int64_t end, std::int32_t item, FeatureRef user_ref,
               std::int64_t answer_room) const;
  Question ask_about(std::int64_t row, std::int64_t answer_room) const;
  EncodedRow write(const Question& question, bool pieces) const;
  std::int64_t count(const Question& question) const;
  template <class Writer>
  void lay_out(const Question& question, Writer& writer) const;
  std::vector<std::int32_t> answer_of(const Reason& reason) const;

  std::string title_text(std::int32_t item) const;
  std::string description_text(std::int32_t item) const;
  bool described(std::int32_t item) const;
  const ItemTexts& item_texts(std::int32_t item) const;

  const Dataset& dataset_;
  const Tokenizer& tokenizer_;
  PromptConfig config_;
  bool history_features_;
  VerdictTokens verdicts_;
  std::vector<Piece> pieces_;
  bool in_pieces_ = true;
  // What may follow an item without a space: the separator, then what literals begin with. As a run of its own, where a slot is last.
  std::vector<std::string> endings_;
  std::vector<std::vector<std::int32_t>> ending_runs_;
  EndedText feature_words_, none_;
  std::array<EndedText, 2> evaluation_;  // by label
  mutable std::vector<ItemTexts> items_;
  std::unique_ptr<std::once_flag[]> item_once_;
};

}  // namespace thinkrec
