#include <random>

#include "text/tokenizer.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

/// The fixture, a tokenizer.json of 680 tokens, and 5 added ones.
const Json& small() {
  static const Json json = fixture_json("small_bpe.json");
  return json;
}

/// Loads the fixture after a change.
std::unique_ptr<Tokenizer> load_changed(const std::function<void(Json&)>& change) {
  const TempFolder folder;
  Json json = small();
  change(json);
  return load_tokenizer(folder.put("tokenizer.json", json.dump()));
}

void refuses(const std::string& part, const std::function<void(Json&)>& change) {
  SCOPED_TRACE(part);
  expect_error(ExitCode::kBadData, part, [&] { load_changed(change); });
}

Json processor(const Json& first) {
  return {{"type", "TemplateProcessing"}, {"single", {first, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
}

TEST(HfTokenizer, SameIdsAsThePackageTokenizers) {
  const Json expected = fixture_json("expected_bpe.json");
  const auto texts = expected["texts"].get<std::vector<std::string>>();
  ASSERT_GE(texts.size(), 50U);
  for (const Json& variant : expected["variants"]) {
    const auto tokenizer = load_changed([&](Json& json) {
      json["pre_tokenizer"] = variant["pre_tokenizer"];
      json["model"]["ignore_merges"] = variant["ignore_merges"];
    });
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Ids ids = tokenizer->encode(texts[i]);
      ASSERT_EQ(ids, variant["ids"][i].get<Ids>()) << variant["name"] << " " << Json(texts[i]);
      ASSERT_EQ(tokenizer->decode(ids), texts[i]);
    }
  }
}

TEST(HfTokenizer, MergesInEitherForm) {
  const auto one = load_tokenizer(fixture("small_bpe.json"));
  const auto other = load_changed([](Json& json) {
    for (Json& merge : json["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  });
  EXPECT_EQ(one->hash(), other->hash());
}

TEST(HfTokenizer, AddedTokens) {
  const auto tokenizer = load_tokenizer(fixture("small_bpe.json"));
  const auto size = static_cast<std::int32_t>(small()["model"]["vocab"].size());
  EXPECT_EQ(tokenizer->size(), size + 4);
  EXPECT_EQ(tokenizer->find_special("<|begin_of_text|>"), size);
  EXPECT_EQ(tokenizer->find_special("<|eot_id|>"), size + 1);
  EXPECT_EQ(tokenizer->find_special("plain words"), size + 3);
  EXPECT_EQ(tokenizer->find_special("the"), small()["model"]["vocab"]["the"].get<std::int32_t>());
  EXPECT_EQ(tokenizer->find_special("movie"), std::nullopt);
  EXPECT_EQ(tokenizer->eos(), size + 1);  // by its name
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  const std::string text = "<|begin_of_text|>the plain words<|eot_id|><tool>";
  const Ids ids = tokenizer->encode(text);
  for (const std::int32_t id : ids) EXPECT_LT(id, size);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(tokenizer->decode(Ids{size, size + 2, small()["model"]["vocab"]["the"], size + 1, size + 3}), "<tool>theplain words");
}

TEST(HfTokenizer, BosIsWhatThePostProcessorPutsInFront) {
  const auto size = static_cast<std::int32_t>(small()["model"]["vocab"].size());
  const Json bos = {{"SpecialToken", {{"id", "<|begin_of_text|>"}, {"type_id", 0}}}};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  EXPECT_EQ(load_changed([&](Json& json) { json["post_processor"] = processor(bos); })->bos(), size);
  EXPECT_EQ(load_changed([&](Json& json) {
              json["post_processor"] = {{"type", "Sequence"}, {"processors", {byte_level, processor(bos)}}};
            })->bos(),
            size);
  EXPECT_EQ(load_changed([&](Json& json) { json["post_processor"] = byte_level; })->bos(), std::nullopt);
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  EXPECT_EQ(load_changed([&](Json& json) { json["post_processor"] = processor(text); })->bos(), std::nullopt);
  refuses("the post-processor's token '<s>' is no added token", [](Json& json) {
    json["post_processor"] = processor({{"SpecialToken", {{"id", "<s>"}}}});
  });
  refuses("post-processor 'RobertaProcessing' is not supported", [](Json& json) {
    json["post_processor"] = {{"type", "RobertaProcessing"}};
  });
  refuses("has no 'processors'", [](Json& json) { json["post_processor"] = {{"type", "Sequence"}}; });
  refuses("has no 'single' template", [](Json& json) { json["post_processor"] = {{"type", "TemplateProcessing"}}; });
  refuses("'SpecialToken' that is not an object", [](Json& json) { json["post_processor"] = processor({{"SpecialToken", 3}}); });
  refuses("the post-processor is not an object", [](Json& json) { json["post_processor"] = 3; });
}

TEST(HfTokenizer, ConfigInTheFolderNamesTheEos) {
  const TempFolder folder;
  folder.put("tokenizer.json", small().dump());
  const auto size = static_cast<std::int32_t>(small()["model"]["vocab"].size());
  EXPECT_EQ(load_tokenizer(folder.path().string())->eos(), size + 1);
  const std::string before = load_tokenizer(folder.path().string())->hash();
  folder.put("tokenizer_config.json", Json{{"eos_token", "<|begin_of_text|>"}, {"add_bos_token", false}}.dump());
  EXPECT_EQ(load_tokenizer(folder.path().string())->eos(), size);
  EXPECT_NE(load_tokenizer(folder.path().string())->hash(), before);
  EXPECT_EQ(load_tokenizer(folder.file("tokenizer.json"))->eos(), size);
  folder.put("tokenizer_config.json", Json{{"eos_token", {{"content", "<tool>"}}}}.dump());
  EXPECT_EQ(load_tokenizer(folder.path().string())->eos(), size + 2);
  folder.put("tokenizer_config.json", Json{{"eos_token", nullptr}}.dump());
  EXPECT_EQ(load_tokenizer(folder.path().string())->eos(), size + 1);
  const auto bad = [&](const std::string& part, const Json& config) {
    folder.put("tokenizer_config.json", config.dump());
    expect_error(ExitCode::kBadData, part, [&] { load_tokenizer(folder.path().string()); });
  };
  bad("no added token '</s>', which tokenizer_config.json names as EOS", {{"eos_token", "</s>"}});
  bad("tokenizer_config.json: 'eos_token' is not a text", {{"eos_token", 2}});
  bad("tokenizer_config.json: 'add_bos_token' is neither true nor false", {{"add_bos_token", "no"}});
  bad("tokenizer_config.json: not a JSON object", Json::array());
}

TEST(HfTokenizer, RefusesOtherPreTokenizers) {
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const auto with = [&](const std::string& part, const Json& pre) {
    refuses(part, [&](Json& json) { json["pre_tokenizer"] = pre; });
  };
  const auto in_front = [&](const Json& pre) { return Json{{"type", "Sequence"}, {"pretokenizers", {pre, byte_level}}}; };
  with("not byte-level BPE", nullptr);
  with("not byte-level BPE", {{"type", "Sequence"}, {"pretokenizers", Json::array()}});
  with("not byte-level BPE", {{"type", "Digits"}, {"individual_digits", true}});
  with("a pre-tokenizer that is not an object", "ByteLevel");
  with("the pre-tokenizer 'Metaspace' is not supported", in_front({{"type", "Metaspace"}}));
  with("the pre-tokenizer '' is not supported", in_front(Json::object()));
  with("'type' is not a text", {{"type", 1}});
  with("add_prefix_space of ByteLevel is not supported", {{"type", "ByteLevel"}, {"add_prefix_space", true}});
  with("add_prefix_space of ByteLevel is not supported", {{"type", "ByteLevel"}});  // true where it is not said
  with("'use_regex' is neither true nor false", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", 1}});
  with("Digits is supported with individual_digits only", in_front({{"type", "Digits"}, {"individual_digits", false}}));
  with("'Digits' after ByteLevel",
       {{"type", "Sequence"}, {"pretokenizers", {byte_level, {{"type", "Digits"}, {"individual_digits", true}}}}});
  with("has no 'pretokenizers'", {{"type", "Sequence"}});
  const Json split = small()["pre_tokenizer"]["pretokenizers"][0];
  ASSERT_EQ(split["type"], "Split");
  const auto changed = [&](const std::string& key, const Json& value) {
    Json copy = split;
    copy[key] = value;
    return in_front(copy);
  };
  with("Split is supported with a regular expression only", changed("pattern", {{"String", " "}}));
  with("Split is supported with a regular expression only", changed("pattern", " "));
  with("with the behavior 'Isolated'", changed("behavior", "Removed"));
  with("not inverted, only", changed("invert", true));
  with(R"(is none that is supported (those of GPT-2, Llama 3 and Qwen 2): "\\s+\u00e9\n")",
       changed("pattern", {{"Regex", "\\s+é\n"}}));
}

TEST(HfTokenizer, RefusesOtherModels) {
  refuses("normalizer 'NFC' is not supported", [](Json& json) { json["normalizer"] = {{"type", "NFC"}}; });
  refuses("normalizer '' is not supported", [](Json& json) { json["normalizer"] = Json::array(); });
  refuses("tokenizer model 'Unigram' is not supported", [](Json& json) { json["model"]["type"] = "Unigram"; });
  refuses("no 'model'", [](Json& json) { json.erase("model"); });
  refuses("no 'model'", [](Json& json) { json["model"] = 1; });
  refuses("'vocab' or 'merges' is missing", [](Json& json) { json["model"].erase("vocab"); });
  refuses("'vocab' or 'merges' is missing", [](Json& json) { json["model"]["merges"] = "a b"; });
  refuses("continuing_subword_prefix is not supported", [](Json& json) { json["model"]["continuing_subword_prefix"] = "##"; });
  refuses("end_of_word_suffix is not supported", [](Json& json) { json["model"]["end_of_word_suffix"] = "</w>"; });
  refuses("byte_fallback is not supported", [](Json& json) { json["model"]["byte_fallback"] = true; });
  refuses("dropout is not supported", [](Json& json) { json["model"]["dropout"] = 0.1; });
  refuses("dropout is not supported", [](Json& json) { json["model"]["dropout"] = "0"; });
  refuses("'ignore_merges' is neither true nor false", [](Json& json) { json["model"]["ignore_merges"] = "true"; });
  EXPECT_NO_THROW(load_changed([](Json& json) { json["model"]["dropout"] = 0.0; }));
  EXPECT_NO_THROW(load_changed([](Json& json) { json["model"]["unk_token"] = "<unk>"; }));  // never needed: all bytes are there
  refuses("an unk_token together with a vocabulary that lacks byte 0x00", [](Json& json) {
    json["model"]["unk_token"] = "<unk>";
    json["model"]["vocab"].erase("Ā");
  });
  EXPECT_NO_THROW(load_changed([](Json& json) { json["model"]["vocab"].erase("Ā"); }));
}

TEST(HfTokenizer, RefusesBadVocabularies) {
  refuses("id 5 is there twice", [](Json& json) { json["model"]["vocab"]["qqq"] = 5; });
  refuses("the id of token 'qqq' is not an integer", [](Json& json) { json["model"]["vocab"]["qqq"] = -1; });
  refuses("the id of token 'qqq' is not an integer", [](Json& json) { json["model"]["vocab"]["qqq"] = 1.5; });
  refuses("the id of token 'qqq' is not an integer", [](Json& json) { json["model"]["vocab"]["qqq"] = "7"; });
  refuses("the id of token 'qqq' is not an integer in 0..2097151", [](Json& json) { json["model"]["vocab"]["qqq"] = 2097152; });
  refuses("the id of token 'qqq' is not an integer", [](Json& json) { json["model"]["vocab"]["qqq"] = 18446744073709551615ULL; });
  refuses("has no text", [](Json& json) { json["model"]["vocab"][""] = 900; });
  refuses("('two words') is not in the byte alphabet", [](Json& json) { json["model"]["vocab"]["two words"] = 900; });
  refuses("merge 0 is not two tokens", [](Json& json) { json["model"]["merges"] = Json::array({Json::array({"a", "b", "c"})}); });
  refuses("merge 0 is not two tokens", [](Json& json) { json["model"]["merges"] = Json::array({Json::array({"a", 1})}); });
  refuses("merge 0 is not two tokens", [](Json& json) { json["model"]["merges"] = Json::array({7}); });
  for (const char* merge : {"ab", " ab", "ab ", "a b c", ""}) {
    refuses("is not two tokens with a space between", [&](Json& json) { json["model"]["merges"] = Json::array({merge}); });
  }
  refuses("there is no ordinary token", [](Json& json) { json["model"]["merges"].push_back({"q", "zz"}); });
}

TEST(HfTokenizer, RefusesBadAddedTokens) {
  const auto with = [&](const std::string& part, const Json& added) {
    refuses(part, [&](Json& json) { json["added_tokens"].push_back(added); });
  };
  with("an added token is not an object", "x");
  with("the id of token 'x' is not an integer", {{"content", "x"}});
  with("the id of token 'x' is not an integer", {{"content", "x"}, {"id", -3}});
  with("has no text", {{"id", 950}});
  with("'content' is not a text", {{"id", 950}, {"content", 1}});
  with("'special' is neither true nor false", {{"id", 950}, {"content", "x<"}, {"special", 1}});
  with("the added token " + std::to_string(small()["model"]["vocab"].size() + 1) + " is there twice",
       {{"id", small()["model"]["vocab"].size() + 1}, {"content", "<|eot_id|>"}});
  with("id 5 is there twice", {{"id", 5}, {"content", "<|new|>"}});
  with("token '<|eot_id|>' is there twice", {{"id", 950}, {"content", "<|eot_id|>"}});
  with("token 'the' is there twice", {{"id", 950}, {"content", "the"}});
  refuses("'added_tokens' is not a list", [](Json& json) { json["added_tokens"] = Json::object(); });
  EXPECT_NO_THROW(load_changed([](Json& json) { json.erase("added_tokens"); }));
}

TEST(HfTokenizer, RefusesBadJson) {
  const TempFolder folder;
  const auto bad = [&](const std::string& part, const std::string& text) {
    const std::string path = folder.put("tokenizer.json", text);
    expect_error(ExitCode::kBadData, path + ": " + part, [&] { load_tokenizer(path); });
  };
  bad("not valid JSON at byte", "");
  bad("not valid JSON at byte 11", "{\"model\": ");
  bad("not valid JSON at byte", "{\"a\": \"\xff\"}");
  bad("not valid JSON", "{\"a\": 1e999}");
  bad("not a JSON object", "[]");
  bad("not a JSON object", "null");
  bad("the key 'a' is there twice", R"({"x": {"a": 1, "b": {"a": 2}, "a": 3}})");
  const auto nested = [](std::size_t depth) { return "{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  bad("no 'model'", nested(63));
  bad("nested deeper than 64 levels", nested(64));
  bad("nested deeper than 64 levels", nested(1'000'000));
  bad("nested deeper than 64 levels", std::string(1'000'000, '['));
}

TEST(HfTokenizer, DamagedFilesGiveErrorsOnly) {
  const TempFolder folder;
  const std::string good = small().dump();
  std::mt19937 random(9);
  int loaded = 0;
  for (int round = 0; round < 150; ++round) {
    std::string bytes = good;
    for (std::uint32_t n = random() % 3 + 1; n > 0; --n) bytes[random() % bytes.size()] = "{}[]\",:0129ae\\\x80"[random() % 15];
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      const auto tokenizer = load_tokenizer(folder.put("tokenizer.json", bytes));
      EXPECT_EQ(tokenizer->encode("").size(), 0U);
      tokenizer->encode("the movie 1994");
      ++loaded;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData) << error.what();
    }
  }
  EXPECT_LT(loaded, 150);
}

TEST(LoadTokenizer, SaysWhatIsMissing) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "/nowhere: no such tokenizer", [&] { load_tokenizer(folder.file("nowhere")); });
  expect_error(ExitCode::kNoInput, "neither tokenizer.json nor tokenizer.model", [&] { load_tokenizer(folder.path().string()); });
}

}  // namespace
}  // namespace thinkrec
