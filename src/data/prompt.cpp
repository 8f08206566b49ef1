#include "data/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/error.h"
#include "io/file.h"
#include "text/seam.h"

namespace thinkrec {
namespace {

constexpr const char* kThinkrecTemplate =
    "#Question: A user has given ratings to the following {items}: <HisItemList>. Additionally, we have information about the user's "
    "preferences encoded in the feature <UserID>. Based on the descriptions and the user's enjoyment of each {item} in the historical "
    "sequence, construct a persona of the user's preferences and reevaluate whether the user would enjoy the {item} titled "
    "<TargetItemTitle> with the feature <TargetItemID>. Please begin your analysis with \"Yes\" or \"No\".\n#Answer:";

constexpr const char* kTextTemplate =
    "#Question: A user has given ratings to the following {items}: <HisItemList>. Based on the descriptions and the user's enjoyment of "
    "each {item} in the historical sequence, construct a persona of the user's preferences and reevaluate whether the user would enjoy "
    "the {item} titled <TargetItemTitle>. Please begin your analysis with \"Yes\" or \"No\".\n#Answer:";

// TALLRec's question and CoLLM's, which adds features of the user and the item in question, over a history of what was liked; the words of
// the paper's first turn (B.3).
constexpr const char* kTallrecTemplate =
    "#Question: A user has given high ratings to the following {items}: <HisItemList>. Using all available information, make a prediction "
    "about whether the user would enjoy the {item} titled <TargetItemTitle>. Please begin your answer with \"Yes\" or \"No\".\n#Answer:";
constexpr const char* kCollmTemplate =
    "#Question: A user has given high ratings to the following {items}: <HisItemList>. Additionally, we have information about the user's "
    "preferences encoded in the feature <UserID>. Using all available information, make a prediction about whether the user would enjoy "
    "the {item} titled <TargetItemTitle> with the feature <TargetItemID>. Please begin your answer with \"Yes\" or \"No\".\n#Answer:";

// Prompt4NR asks a cloze question in words, in learnt tokens around the two texts, or in both.
constexpr const char* kHardTemplate =
    "A user gave high ratings to these {items}: <HisItemList>. Now the user considers the {item} titled <TargetItemTitle>. Will the user "
    "enjoy it? The answer, \"Yes\" or \"No\", is:";
constexpr const char* kSoftTemplate = "<Soft:4> <HisItemList> <Soft:4> <TargetItemTitle> <Soft:4>";
constexpr const char* kHybridTemplate =
    "<Soft:4>A user gave high ratings to these {items}: <HisItemList>. <Soft:4>Now the user considers the {item} titled <TargetItemTitle>. "
    "Will the user enjoy it? <Soft:4>The answer, \"Yes\" or \"No\", is:";

constexpr std::string_view kSoftMark = "<Soft:";

constexpr const char* kTitleFront = " \"";
constexpr const char* kFeatureWords = " with feature";
constexpr const char* kEvaluation[] = {" (evaluation: No)", " (evaluation: Yes)"};  // by label
constexpr const char* kNone = " (none)";
constexpr const char* kSeparator = ";";
constexpr std::size_t kBeforeSeparator = 1;  // as EndedText::end has it: the first of the endings

/// The number in a mark "<Soft:N>" at `at`, and where the mark ends; kConfig for anything else.
std::pair<std::int64_t, std::size_t> read_soft_mark(const std::string& text, std::size_t at) {
  const std::size_t end = text.find('>', at);
  const std::string number = end == std::string::npos ? "" : text.substr(at + kSoftMark.size(), end - at - kSoftMark.size());
  if (number.empty() || number.size() > 3 || number.find_first_not_of("0123456789") != std::string::npos ||
      std::stoi(number) == 0)
    fail(ExitCode::kConfig, "the prompt template has '{}': write <Soft:N> with N from 1 to 999", text.substr(at, 16));
  return {std::stoll(number), end + 1};
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// Line breaks and runs of spaces would end the list that a title stands in.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void append(std::vector<std::int32_t>& to, const std::vector<std::int32_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

std::string prompt_template(const std::string& name) {
  if (name == "thinkrec") return kThinkrecTemplate;
  if (name == "text") return kTextTemplate;
  if (name == "tallrec") return kTallrecTemplate;
  if (name == "collm") return kCollmTemplate;
  if (name == "hard") return kHardTemplate;
  if (name == "soft") return kSoftTemplate;
  if (name == "hybrid") return kHybridTemplate;
  fail(ExitCode::kConfig,
       "there is no prompt template '{}'; there are 'thinkrec', 'text', 'tallrec', 'collm', 'hard', 'soft' and 'hybrid'", name);
}

bool template_has_features(const std::string& text) {
  return text.find("<UserID>") != std::string::npos || text.find("<TargetItemID>") != std::string::npos;
}

std::int64_t soft_tokens(const std::string& text) {
  std::int64_t count = 0;
  for (std::size_t at = text.find(kSoftMark); at != std::string::npos; at = text.find(kSoftMark, at + 1))
    count += read_soft_mark(text, at).first;
  return count;
}

VerdictTokens verdict_tokens(const Tokenizer& tokenizer) {
  const auto yes = tokenizer.encode("Yes"), no = tokenizer.encode("No");
  if (yes.empty() || no.empty() || yes[0] == no[0]) {
    fail(ExitCode::kBadData, "this tokenizer does not tell \"Yes\" from \"No\" by their first tokens");
  }
  return {yes[0], no[0]};
}

PromptBuilder::PromptBuilder(const Dataset& dataset, const Tokenizer& tokenizer, PromptConfig config)
    : dataset_(dataset),
      tokenizer_(tokenizer),
      config_(std::move(config)),
      history_features_(config_.features && config_.history_features),
      verdicts_(verdict_tokens(tokenizer)),
      endings_({kSeparator}),
      items_(dataset.items.size()),
      item_once_(std::make_unique<std::once_flag[]>(dataset.items.size())) {
  read_template();
  cut_template();
  for (const std::string& ending : endings_) ending_runs_.push_back(tokenizer_.encode(ending));
  feature_words_ = EndedText(tokenizer_, kFeatureWords, {}, false);
  none_ = EndedText(tokenizer_, kNone, endings_, false);
  for (std::size_t label = 0; label < 2; ++label)
    evaluation_[label] = EndedText(tokenizer_, kEvaluation[label], endings_, history_features_);
}

void PromptBuilder::read_template() {
  using Kind = Piece::Kind;
  static const std::vector<std::pair<std::string, Kind>> kPlaceholders = {{"<HisItemList>", Kind::kHistory},
                                                                          {"<UserID>", Kind::kUserFeature},
                                                                          {"<TargetItemTitle>", Kind::kTargetTitle},
                                                                          {"<TargetItemID>", Kind::kTargetFeature},
                                                                          {std::string(kSoftMark), Kind::kSoft}};
  std::string rest = replace_all(config_.template_text, "{items}", dataset_.noun.plural);
  rest = replace_all(rest, "{item}", dataset_.noun.singular);
  bool target = false;
  std::int64_t soft = 0;
  while (!rest.empty()) {
    std::size_t first = std::string::npos, which = 0;
    for (std::size_t p = 0; p < kPlaceholders.size(); ++p) {
      const std::size_t at = rest.find(kPlaceholders[p].first);
      if (at < first) first = at, which = p;
    }
    if (first == std::string::npos) {
      add_literal(rest, false);
      break;
    }
    const Kind kind = kPlaceholders[which].second;
    if (!config_.features && (kind == Kind::kUserFeature || kind == Kind::kTargetFeature)) {
      fail(ExitCode::kConfig, "the prompt template has {} but features are off; use the template 'text' or turn features on",
           kPlaceholders[which].first);
    }
    target = target || kind == Kind::kTargetTitle;
    add_literal(rest.substr(0, first), kind != Kind::kSoft);
    Piece piece{};
    piece.kind = kind;
    std::size_t end = first + kPlaceholders[which].first.size();
    if (kind == Kind::kSoft) {
      std::tie(piece.count, end) = read_soft_mark(rest, first);
      piece.first = soft;
      soft += piece.count;
    }
    pieces_.push_back(std::move(piece));
    rest = rest.substr(end);
  }
  if (!target) fail(ExitCode::kConfig, "the prompt template has no <TargetItemTitle>");
}

void PromptBuilder::add_literal(std::string text, bool before_placeholder) {
  // The space before a placeholder belongs to what fills it (` "Title"`), as the tokenizer would have it.
  if (before_placeholder && text.ends_with(' ')) text.pop_back();
  if (text.empty()) return;
  Piece piece{};
  piece.kind = Piece::Kind::kLiteral;
  piece.text = std::move(text);
  pieces_.push_back(std::move(piece));
}

/// Gives the front of each literal behind items, up to its first seam, to the items; tokenises the rest.
void PromptBuilder::cut_template() {
  using Kind = Piece::Kind;
  const auto lists_items = [](const Piece& piece) { return piece.kind == Kind::kHistory || piece.kind == Kind::kTargetTitle; };
  const SeamCuts cuts = tokenizer_.seam_cuts();
  in_pieces_ = cuts != SeamCuts::kNone;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    Piece& piece = pieces_[i];
    const bool front = i == 0 || (pieces_[i - 1].kind != Kind::kLiteral && !lists_items(pieces_[i - 1]));
    if (lists_items(piece)) {
      // A seam, or the front of a run; there the title is tokenised as if it stood behind a seam.
      const bool seam = i > 0 && pieces_[i - 1].kind == Kind::kLiteral &&
                        is_seam(pieces_[i - 1].text + kTitleFront, pieces_[i - 1].text.size());
      in_pieces_ = in_pieces_ && (seam || (front && cuts == SeamCuts::kAnywhere));
      continue;
    }
    if (piece.kind != Kind::kLiteral) continue;
    if (front) {
      piece.tokens = tokenizer_.encode(piece.text);
      continue;
    }
    const std::size_t cut = first_seam(piece.text);
    const std::string ending = piece.text.substr(0, cut);
    if (cut < piece.text.size() && in_pieces_) piece.tokens = tokenizer_.encode_behind(piece.text.substr(cut));
    const auto held = std::find(endings_.begin(), endings_.end(), ending);
    pieces_[i - 1].end = 1 + static_cast<std::size_t>(held - endings_.begin());
    if (held == endings_.end()) endings_.push_back(ending);
  }
  // A description behind a slot, in the history, and behind a title, in the question, must be the same.
  if (history_features_ && !config_.labels && config_.keywords && cuts != SeamCuts::kAnywhere) in_pieces_ = false;
}

std::string PromptBuilder::title_text(std::int32_t item) const {
  return kTitleFront + one_line(dataset_.items[static_cast<std::size_t>(item)].title) + "\"";
}

bool PromptBuilder::described(std::int32_t item) const {
  return config_.keywords && !dataset_.items[static_cast<std::size_t>(item)].keywords.empty();
}

std::string PromptBuilder::description_text(std::int32_t item) const {
  return described(item) ? " with description: " + one_line(dataset_.items[static_cast<std::size_t>(item)].keywords) : "";
}

const PromptBuilder::ItemTexts& PromptBuilder::item_texts(std::int32_t item) const {
  ItemTexts& texts = items_[static_cast<std::size_t>(item)];
  std::call_once(item_once_[static_cast<std::size_t>(item)], [&] {
    const bool more = described(item);
    texts.title = EndedText(tokenizer_, title_text(item), more ? std::span<const std::string>() : endings_, false);
    if (more) texts.description = EndedText(tokenizer_, description_text(item), endings_, false);
  });
  return texts;
}

/// The tokens of a prompt, from pieces.
class PromptBuilder::TokenWriter {
 public:
  TokenWriter(const PromptBuilder& prompts, EncodedRow& row) : prompts_(prompts), row_(row) {
    if (const auto bos = prompts.tokenizer_.bos()) row.token.push_back(*bos);
  }
  void literal(const Piece& piece) { add(piece.tokens); }
  void slot(const FeatureRef& ref) {
    row_.token.push_back(-1 - static_cast<std::int32_t>(row_.slots.size()));
    row_.slots.push_back(ref);
  }
  void title(std::int32_t item, std::size_t end) { add(prompts_.item_texts(item).title, end); }
  void description(std::int32_t item, std::size_t end) { add(prompts_.item_texts(item).description, end); }
  void feature_words() { add(prompts_.feature_words_, 0); }
  void evaluation(bool yes, std::size_t end) { add(prompts_.evaluation_[yes ? 1 : 0], end); }
  void none(std::size_t end) { add(prompts_.none_, end); }
  void ending(std::size_t end) {
    if (end > 0) add(prompts_.ending_runs_[end - 1]);
  }
  void separator() {}  // in what stands before it
  void finish() {}

 private:
  void add(std::span<const std::int32_t> tokens) { row_.token.insert(row_.token.end(), tokens.begin(), tokens.end()); }
  void add(const EndedText& text, std::size_t end) {
    add(text.body());
    add(text.end(end));
  }
  const PromptBuilder& prompts_;
  EncodedRow& row_;
};

/// How many tokens the writer above would write.
class PromptBuilder::TokenCounter {
 public:
  explicit TokenCounter(const PromptBuilder& prompts) : prompts_(prompts), count_(prompts.tokenizer_.bos() ? 1 : 0) {}
  void literal(const Piece& piece) { count_ += static_cast<std::int64_t>(piece.tokens.size()); }
  void slot(const FeatureRef&) { ++count_; }
  void title(std::int32_t item, std::size_t end) { count_ += prompts_.item_texts(item).title.size(end); }
  void description(std::int32_t item, std::size_t end) { count_ += prompts_.item_texts(item).description.size(end); }
  void feature_words() { count_ += prompts_.feature_words_.size(0); }
  void evaluation(bool yes, std::size_t end) { count_ += prompts_.evaluation_[yes ? 1 : 0].size(end); }
  void none(std::size_t end) { count_ += prompts_.none_.size(end); }
  void ending(std::size_t end) {
    if (end > 0) count_ += static_cast<std::int64_t>(prompts_.ending_runs_[end - 1].size());
  }
  void separator() {}
  void finish() {}
  std::int64_t count() const { return count_; }

 private:
  const PromptBuilder& prompts_;
  std::int64_t count_;
};

/// The tokens of a prompt, each run of text as a whole.
class PromptBuilder::RunWriter {
 public:
  RunWriter(const PromptBuilder& prompts, EncodedRow& row) : prompts_(prompts), row_(row) {
    if (const auto bos = prompts.tokenizer_.bos()) row.token.push_back(*bos);
  }
  void literal(const Piece& piece) { run_ += piece.text; }
  void slot(const FeatureRef& ref) {
    finish();
    row_.token.push_back(-1 - static_cast<std::int32_t>(row_.slots.size()));
    row_.slots.push_back(ref);
  }
  void title(std::int32_t item, std::size_t) { run_ += prompts_.title_text(item); }
  void description(std::int32_t item, std::size_t) { run_ += prompts_.description_text(item); }
  void feature_words() { run_ += kFeatureWords; }
  void evaluation(bool yes, std::size_t) { run_ += kEvaluation[yes ? 1 : 0]; }
  void none(std::size_t) { run_ += kNone; }
  void ending(std::size_t) {}  // in the separator or the literal
  void separator() { run_ += kSeparator; }
  void finish() {
    if (!run_.empty()) append(row_.token, prompts_.tokenizer_.encode(run_));
    run_.clear();
  }

 private:
  const PromptBuilder& prompts_;
  EncodedRow& row_;
  std::string run_;
};

/// Calls the writer for every part of the prompt, in order. `end` says what follows a text directly.
template <class Writer>
void PromptBuilder::lay_out(const Question& question, Writer& writer) const {
  using Kind = Piece::Kind;
  const auto history_item = [&](std::int64_t interaction, std::size_t end) {
    const auto at = static_cast<std::size_t>(interaction);
    const std::int32_t item = dataset_.item[at];
    const bool more = described(item);
    writer.title(item, more || history_features_ || config_.labels ? 0 : end);
    if (history_features_) {
      writer.feature_words();
      writer.slot({FeatureRef::Kind::kItem, item});
    }
    if (config_.labels) writer.evaluation(dataset_.label[at] != 0, more ? 0 : end);
    if (more) {
      writer.description(item, end);
    } else if (history_features_ && !config_.labels) {
      writer.ending(end);
    }
  };
  for (const Piece& piece : pieces_) {
    switch (piece.kind) {
      case Kind::kLiteral:
        writer.literal(piece);
        break;
      case Kind::kUserFeature:
        writer.slot(question.user);
        break;
      case Kind::kTargetFeature:
        writer.slot({FeatureRef::Kind::kTarget, question.user.index, question.item});
        break;
      case Kind::kSoft:
        for (std::int64_t i = 0; i < piece.count; ++i) writer.slot({FeatureRef::Kind::kSoft, piece.first + i});
        break;
      case Kind::kTargetTitle: {
        const bool more = described(question.item);
        writer.title(question.item, more ? 0 : piece.end);
        if (more) writer.description(question.item, piece.end);
        break;
      }
      case Kind::kHistory:
        if (question.history.empty()) writer.none(piece.end);
        for (std::size_t i = 0; i < question.history.size(); ++i) {
          const bool last = i + 1 == question.history.size();
          history_item(question.history[i], last ? piece.end : kBeforeSeparator);
          if (!last) writer.separator();
        }
        break;
    }
  }
  writer.finish();
}

EncodedRow PromptBuilder::write(const Question& question, bool pieces) const {
  EncodedRow out;
  if (pieces) {
    TokenWriter writer(*this, out);
    lay_out(question, writer);
  } else {
    RunWriter writer(*this, out);
    lay_out(question, writer);
  }
  out.prompt_length = static_cast<std::int64_t>(out.token.size());
  return out;
}

std::int64_t PromptBuilder::count(const Question& question) const {
  if (!in_pieces_) return write(question, false).prompt_length;
  TokenCounter counter(*this);
  lay_out(question, counter);
  return counter.count();
}

PromptBuilder::Question PromptBuilder::ask(std::int64_t user, std::int64_t begin, std::int64_t end, std::int32_t item,
                                           FeatureRef user_ref, std::int64_t answer_room) const {
  std::vector<std::int64_t> shown;  // the latest first
  const auto counts = [&](std::int64_t i) { return config_.disliked || dataset_.label[static_cast<std::size_t>(i)] != 0; };
  std::int64_t most = config_.history == 0 ? config_.max_tokens : config_.history;
  if (config_.anchored && config_.history > 0) {
    std::int64_t all = 0;
    for (std::int64_t i = begin; i < end; ++i) all += counts(i) ? 1 : 0;
    const std::int64_t stride = (most + 1) / 2;
    if (all > most) most = all - (all - most + stride - 1) / stride * stride;
  }
  for (std::int64_t i = end - 1; i >= begin && static_cast<std::int64_t>(shown.size()) < most; --i) {
    if (counts(i)) shown.push_back(i);
  }
  const auto with_latest = [&](std::size_t n) {
    return Question{item, user_ref, {shown.rend() - static_cast<std::ptrdiff_t>(n), shown.rend()}};
  };
  const auto tokens = [&](const Question& question) { return answer_room + count(question); };
  Question whole = with_latest(shown.size());
  if (tokens(whole) <= config_.max_tokens) return whole;
  const std::int64_t least = tokens(with_latest(0));
  if (least > config_.max_tokens) {
    fail(ExitCode::kBadData,
         "the question about item '{}' for user '{}' takes {} tokens with its answer, more than prompt.max_tokens = {}",
         dataset_.items[static_cast<std::size_t>(item)].id, dataset_.users[static_cast<std::size_t>(user)], least,
         config_.max_tokens);
  }
  std::size_t fits = 0, too_many = shown.size();
  while (too_many - fits > 1) {
    const std::size_t middle = fits + (too_many - fits) / 2;
    (tokens(with_latest(middle)) <= config_.max_tokens ? fits : too_many) = middle;
  }
  return with_latest(fits);
}

PromptBuilder::Question PromptBuilder::ask_about(std::int64_t row, std::int64_t answer_room) const {
  const auto i = static_cast<std::size_t>(row);
  return ask(dataset_.user[i], dataset_.user_begin[static_cast<std::size_t>(dataset_.user[i])], row, dataset_.item[i],
             {FeatureRef::Kind::kUser, row}, answer_room);
}

EncodedRow PromptBuilder::prompt(std::int64_t row) const {
  EncodedRow out = write(ask_about(row, 1), in_pieces_);
  out.row = row;
  out.label = dataset_.label[static_cast<std::size_t>(row)];
  return out;
}

EncodedRow PromptBuilder::prompt_of_whole_runs(std::int64_t row) const {
  EncodedRow out = write(ask_about(row, 1), false);
  out.row = row;
  out.label = dataset_.label[static_cast<std::size_t>(row)];
  return out;
}

EncodedRow PromptBuilder::prompt_for(std::int64_t user, std::int64_t before, std::int32_t item) const {
  EncodedRow out =
      write(ask(user, dataset_.user_begin[static_cast<std::size_t>(user)], before, item, {FeatureRef::Kind::kUser, before}, 1),
            in_pieces_);
  out.row = before;
  return out;
}

EncodedRow PromptBuilder::recommendation(std::int64_t row) const {
  EncodedRow out = prompt(row);
  out.token.push_back(out.label != 0 ? verdicts_.yes : verdicts_.no);
  return out;
}

std::int64_t PromptBuilder::recommendation_tokens(std::int64_t row) const { return count(ask_about(row, 1)) + 1; }

std::vector<std::int32_t> PromptBuilder::answer_of(const Reason& reason) const {
  std::vector<std::int32_t> answer = tokenizer_.encode(reason.text);
  if (const auto eos = tokenizer_.eos()) answer.push_back(*eos);
  return answer;
}

EncodedRow PromptBuilder::reason(const Reason& reason) const {
  const std::vector<std::int32_t> answer = answer_of(reason);
  EncodedRow out = write(ask_about(reason.row, static_cast<std::int64_t>(answer.size())), in_pieces_);
  out.row = reason.row;
  out.label = dataset_.label[static_cast<std::size_t>(reason.row)];
  out.reason = true;
  append(out.token, answer);
  return out;
}

std::int64_t PromptBuilder::reason_tokens(const Reason& reason) const {
  const auto answer = static_cast<std::int64_t>(answer_of(reason).size());
  return count(ask_about(reason.row, answer)) + answer;
}

std::int64_t PromptBuilder::least_tokens(std::int32_t item) const { return count({item, {FeatureRef::Kind::kUser, 0}, {}}) + 1; }

std::int64_t PromptBuilder::least_tokens(const Reason& reason) const {
  return least_tokens(dataset_.item[static_cast<std::size_t>(reason.row)]) - 1 +
         static_cast<std::int64_t>(answer_of(reason).size());
}

std::string PromptBuilder::hash() const {
  return sha256_hex(fmt::format("{}|{}|{}{}|{}|{}|{}|{}{}|{}|{}|{}|{}", kPromptRules, config_.template_text, config_.features,
                                config_.history_features ? "" : " not in the history", config_.keywords, config_.labels,
                                config_.disliked, config_.history, config_.anchored ? " anchored" : "", config_.max_tokens,
                                dataset_.noun.singular, dataset_.noun.plural, tokenizer_.hash()));
}

}  // namespace thinkrec
