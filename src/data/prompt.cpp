#include "data/prompt.h"

#include <fmt/format.h>

#include "core/error.h"
#include "io/file.h"

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

// Prompt4NR asks a cloze question in words, in learnt tokens around the two texts, or in both.
constexpr const char* kHardTemplate =
    "A user rated these {items}: <HisItemList>. Now the user considers the {item} titled <TargetItemTitle>. Will the user enjoy it? "
    "The answer, \"Yes\" or \"No\", is:";
constexpr const char* kSoftTemplate = "<Soft:4> <HisItemList> <Soft:4> <TargetItemTitle> <Soft:4>";
constexpr const char* kHybridTemplate =
    "<Soft:4>A user rated these {items}: <HisItemList>. <Soft:4>Now the user considers the {item} titled <TargetItemTitle>. Will the "
    "user enjoy it? <Soft:4>The answer, \"Yes\" or \"No\", is:";

constexpr std::string_view kSoftMark = "<Soft:";

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
  if (name == "hard") return kHardTemplate;
  if (name == "soft") return kSoftTemplate;
  if (name == "hybrid") return kHybridTemplate;
  fail(ExitCode::kConfig, "there is no prompt template '{}'; there are 'thinkrec', 'text', 'hard', 'soft' and 'hybrid'", name);
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
      verdicts_(verdict_tokens(tokenizer)),
      feature_words_(tokenizer.encode(" with feature")),
      evaluation_yes_(tokenizer.encode(" (evaluation: Yes)")),
      evaluation_no_(tokenizer.encode(" (evaluation: No)")),
      separator_(tokenizer.encode(";")),
      nothing_(tokenizer.encode(" (none)")),
      items_(dataset.items.size()),
      item_ready_(dataset.items.size(), false) {
  using Kind = Piece::Kind;
  static const std::vector<std::pair<std::string, Kind>> kPlaceholders = {{"<HisItemList>", Kind::kHistory},
                                                                          {"<UserID>", Kind::kUserFeature},
                                                                          {"<TargetItemTitle>", Kind::kTargetTitle},
                                                                          {"<TargetItemID>", Kind::kTargetFeature},
                                                                          {std::string(kSoftMark), Kind::kSoft}};
  std::string rest = replace_all(config_.template_text, "{items}", dataset.noun.plural);
  rest = replace_all(rest, "{item}", dataset.noun.singular);
  const auto literal = [&](std::string text, bool before_placeholder) {
    // The space before a placeholder belongs to what fills it (` "Title"`), as the tokenizer would have it.
    if (before_placeholder && text.ends_with(' ')) text.pop_back();
    if (!text.empty()) pieces_.push_back({Kind::kLiteral, tokenizer_.encode(text)});
  };
  bool target = false;
  std::int64_t soft = 0;
  while (!rest.empty()) {
    std::size_t first = std::string::npos, which = 0;
    for (std::size_t p = 0; p < kPlaceholders.size(); ++p) {
      const std::size_t at = rest.find(kPlaceholders[p].first);
      if (at < first) first = at, which = p;
    }
    if (first == std::string::npos) {
      literal(rest, false);
      break;
    }
    const Kind kind = kPlaceholders[which].second;
    if (!config_.features && (kind == Kind::kUserFeature || kind == Kind::kTargetFeature)) {
      fail(ExitCode::kConfig, "the prompt template has {} but features are off; use the template 'text' or turn features on",
           kPlaceholders[which].first);
    }
    target = target || kind == Kind::kTargetTitle;
    literal(rest.substr(0, first), kind != Kind::kSoft);
    if (kind == Kind::kSoft) {
      const auto [count, end] = read_soft_mark(rest, first);
      pieces_.push_back({kind, {}, soft, count});
      soft += count;
      rest = rest.substr(end);
      continue;
    }
    pieces_.push_back({kind, {}});
    rest = rest.substr(first + kPlaceholders[which].first.size());
  }
  if (!target) fail(ExitCode::kConfig, "the prompt template has no <TargetItemTitle>");
}

const PromptBuilder::ItemTokens& PromptBuilder::item_tokens(std::int32_t item) const {
  const auto i = static_cast<std::size_t>(item);
  if (!item_ready_[i]) {
    const Item& what = dataset_.items[i];
    items_[i].title = tokenizer_.encode(" \"" + one_line(what.title) + "\"");
    if (config_.keywords && !what.keywords.empty())
      items_[i].description = tokenizer_.encode(" with description: " + one_line(what.keywords));
    item_ready_[i] = true;
  }
  return items_[i];
}

EncodedRow PromptBuilder::build(std::int64_t user, std::int64_t begin, std::int64_t end, std::int32_t item, FeatureRef user_ref,
                                std::int64_t answer_room) const {
  // History first, one token list an item, so that the oldest can go when the prompt is too long.
  std::vector<std::int64_t> shown;
  const auto counts = [&](std::int64_t i) { return config_.disliked || dataset_.label[static_cast<std::size_t>(i)] != 0; };
  std::int64_t most = config_.history > 0 ? config_.history : end - begin;
  if (config_.anchored && config_.history > 0) {
    std::int64_t all = 0;
    for (std::int64_t i = begin; i < end; ++i) all += counts(i) ? 1 : 0;
    const std::int64_t stride = (config_.history + 1) / 2;
    if (all > most) most = all - (all - most + stride - 1) / stride * stride;
  }
  for (std::int64_t i = end - 1; i >= begin && static_cast<std::int64_t>(shown.size()) < most; --i) {
    if (counts(i)) shown.push_back(i);
  }
  std::reverse(shown.begin(), shown.end());
  const auto item_length = [&](std::int64_t i) {
    const ItemTokens& tokens = item_tokens(dataset_.item[static_cast<std::size_t>(i)]);
    return static_cast<std::int64_t>(tokens.title.size() + tokens.description.size() + separator_.size() +
                                     (config_.features ? feature_words_.size() + 1 : 0) +
                                     (config_.labels ? std::max(evaluation_yes_.size(), evaluation_no_.size()) : 0));
  };
  const ItemTokens& target = item_tokens(item);
  std::int64_t total = answer_room + (tokenizer_.bos() ? 1 : 0) + static_cast<std::int64_t>(nothing_.size());
  for (const Piece& piece : pieces_) {
    total += static_cast<std::int64_t>(piece.tokens.size()) + 1 + piece.count;
    if (piece.kind == Piece::Kind::kTargetTitle)
      total += static_cast<std::int64_t>(target.title.size() + target.description.size());
  }
  if (total > config_.max_tokens) {
    fail(ExitCode::kBadData,
         "the question about item '{}' for user '{}' takes {} tokens with its answer, more than prompt.max_tokens = {}",
         dataset_.items[static_cast<std::size_t>(item)].id, dataset_.users[static_cast<std::size_t>(user)], total,
         config_.max_tokens);
  }
  std::size_t first = shown.size();
  while (first > 0 && total + item_length(shown[first - 1]) <= config_.max_tokens) total += item_length(shown[--first]);

  EncodedRow out;
  const auto slot = [&](FeatureRef ref) {
    out.token.push_back(-1 - static_cast<std::int32_t>(out.slots.size()));
    out.slots.push_back(ref);
  };
  if (const auto bos = tokenizer_.bos()) out.token.push_back(*bos);
  for (const Piece& piece : pieces_) {
    switch (piece.kind) {
      case Piece::Kind::kLiteral:
        append(out.token, piece.tokens);
        break;
      case Piece::Kind::kUserFeature:
        slot(user_ref);
        break;
      case Piece::Kind::kTargetFeature:
        slot({FeatureRef::Kind::kTarget, user_ref.index, item});
        break;
      case Piece::Kind::kSoft:
        for (std::int64_t i = 0; i < piece.count; ++i) slot({FeatureRef::Kind::kSoft, piece.first + i});
        break;
      case Piece::Kind::kTargetTitle:
        append(out.token, target.title);
        append(out.token, target.description);
        break;
      case Piece::Kind::kHistory:
        if (first == shown.size()) append(out.token, nothing_);
        for (std::size_t i = first; i < shown.size(); ++i) {
          const auto interaction = static_cast<std::size_t>(shown[i]);
          const ItemTokens& tokens = item_tokens(dataset_.item[interaction]);
          if (i > first) append(out.token, separator_);
          append(out.token, tokens.title);
          if (config_.features) {
            append(out.token, feature_words_);
            slot({FeatureRef::Kind::kItem, dataset_.item[interaction]});
          }
          if (config_.labels) append(out.token, dataset_.label[interaction] != 0 ? evaluation_yes_ : evaluation_no_);
          append(out.token, tokens.description);
        }
        break;
    }
  }
  out.prompt_length = static_cast<std::int64_t>(out.token.size());
  return out;
}

EncodedRow PromptBuilder::prompt(std::int64_t row) const {
  const auto i = static_cast<std::size_t>(row);
  EncodedRow out = build(dataset_.user[i], dataset_.user_begin[static_cast<std::size_t>(dataset_.user[i])], row, dataset_.item[i],
                         {FeatureRef::Kind::kUser, row}, 1);
  out.row = row;
  out.label = dataset_.label[i];
  return out;
}

EncodedRow PromptBuilder::prompt_for(std::int64_t user, std::int64_t before, std::int32_t item) const {
  EncodedRow out =
      build(user, dataset_.user_begin[static_cast<std::size_t>(user)], before, item, {FeatureRef::Kind::kUser, before}, 1);
  out.row = before;
  return out;
}

EncodedRow PromptBuilder::recommendation(std::int64_t row) const {
  EncodedRow out = prompt(row);
  out.token.push_back(out.label != 0 ? verdicts_.yes : verdicts_.no);
  return out;
}

EncodedRow PromptBuilder::reason(const Reason& reason) const {
  std::vector<std::int32_t> answer = tokenizer_.encode(reason.text);
  if (const auto eos = tokenizer_.eos()) answer.push_back(*eos);
  const auto i = static_cast<std::size_t>(reason.row);
  EncodedRow out = build(dataset_.user[i], dataset_.user_begin[static_cast<std::size_t>(dataset_.user[i])], reason.row,
                         dataset_.item[i], {FeatureRef::Kind::kUser, reason.row}, static_cast<std::int64_t>(answer.size()));
  out.row = reason.row;
  out.label = dataset_.label[i];
  out.reason = true;
  append(out.token, answer);
  return out;
}

std::string PromptBuilder::hash() const {
  return sha256_hex(fmt::format("{}|{}|{}|{}|{}|{}{}|{}|{}|{}|{}", config_.template_text, config_.features, config_.keywords,
                                config_.labels, config_.disliked, config_.history, config_.anchored ? " anchored" : "",
                                config_.max_tokens, dataset_.noun.singular, dataset_.noun.plural, tokenizer_.hash()));
}

}  // namespace thinkrec
