#include "report/html.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "core/error.h"
#include "report/markup.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

const char* kEvaluation = R"({"split":"test","rows":7331,"users":839,"k":5,
"models":{"item_mean":{"auc":0.651,"uauc":0.63,"ndcg@5":0.7,"map@5":0.54,"auc_ci":[0.64,0.66]},
          "global":{"auc":0.74,"uauc":0.71,"ndcg@5":0.75,"map@5":0.61,"auc_ci":[0.73,0.75]},
          "expert:1":{"auc":0.73},"fused":{"auc":0.75,"auc_ci":[0.74,0.76],"uauc":0.70,"ndcg@5":0.76,"map@5":0.62}},
"difference":{"fused - global":{"auc":0.01,"auc_ci":[0.002,0.018],"uauc":-0.01,"uauc_ci":[-0.02,-0.001],"map@5":0.01,"map@5_ci":[-0.01,0.03]}},
"gate":{"global":121,"single":[318,266],"merged":134,"max_weight_histogram":[0,5,9,3]},
"groups":[{"users":441,"train_rows":18342,"x":[0,1,2],"y":[1,2,0]},{"users":398,"train_rows":15549,"x":[4,5],"y":[1,2]}],
"cohens_d":{"train_rows":0.231,"features":2.17},
"timings":{"activate/text":1222.8,"encode":121.4},"data":{"name":"MovieLens-1M","hash":"5f0c8d"}})";

const char* kTeams = R"({"expert/0":{"first_rank":0,"ranks":2},"expert/1":{"first_rank":2,"ranks":1},"expert/2":{"first_rank":2,"ranks":1}})";
const char* kScaling =
    R"({"command":"launch/scaling.sh --ranks 1,2","commit":"abc","load":0.1,"cores":2,"cpu":"a cpu","tokens":"computed",
"global":[{"ranks":1,"rows_per_s":[1],"tokens_per_s":[100,90,110]},{"ranks":2,"rows_per_s":[2],"tokens_per_s":[190]}],
"experts":[{"ranks":1,"seconds":[20],"teams":0},{"ranks":2,"seconds":[12.5],"teams":2}]})";

std::string metrics() {
  std::string text;
  for (int step = 1; step <= 60; ++step) {
    text += fmt::format(
        "{{\"stage\":\"activate/"
        "text\",\"step\":{},\"loss\":{},\"bce\":0.6,\"ce\":1.5,\"tokens_per_s\":2900,\"rows_per_s\":9.4,\"peak_share\":0.437,\"wait_share\":0.0025,\"time\":{}}}\n",
        step, 1 + 1.0 / step, 1795400000 + step);
    if (step % 20 == 0)
      text += fmt::format("{{\"stage\":\"activate/text\",\"step\":{},\"valid_auc\":0.7,\"valid_uauc\":0.68}}\n", step);
  }
  for (int expert = 0; expert < 3; ++expert) {
    for (int step = 1; step <= 2; ++step)
      text += fmt::format("{{\"stage\":\"expert/{}\",\"step\":{},\"loss\":0.5,\"time\":{}}}\n", expert, step, 1795400100 + 60 * step);
  }
  return text;
}

std::string report(const testing::TempFolder& folder) {
  write_report(folder.path().string());
  return folder.read("report.html");
}

/// Every tag that opens is closed, in order: enough of an HTML parser to find a broken page.
void expect_balanced(const std::string& text) {
  std::vector<std::string> open;
  for (auto at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    bool quoted = false;
    auto end = at + 1;
    for (; end < text.size() && (quoted || text[end] != '>'); ++end) quoted = quoted != (text[end] == '"');
    ASSERT_LT(end, text.size());
    const bool closes = text[at + 1] == '/';
    const auto start = at + (closes ? 2 : 1);
    const auto name = text.substr(start, text.find_first_of(" />\n", start) - start);
    const bool alone = text[end - 1] == '/' || text[at + 1] == '!' || name == "meta" || name == "wbr";
    if (closes) {
      ASSERT_FALSE(open.empty()) << name;
      ASSERT_EQ(open.back(), name) << text.substr(at, 80);
      open.pop_back();
    } else if (!alone) {
      open.push_back(name);
    }
    at = end;
  }
  EXPECT_TRUE(open.empty());
}

TEST(Html, AWholeRun) {
  const testing::TempFolder folder;
  folder.put("metrics.jsonl", metrics());
  folder.put("evaluation.json", kEvaluation);
  folder.put("recipe.yaml", "run:\n  seed: 7\nmodel:\n  path: /models/tiny.gguf\n");
  folder.put("teams.json", kTeams);
  folder.put("scaling.json", kScaling);
  const auto text = report(folder);
  expect_balanced(text);
  for (const char* part :
       {"MovieLens-1M",
        "tiny.gguf",
        "Fused experts",
        "Expert 1",
        "NDCG@5",
        "0.7500",
        "+0.0100",
        "class=\"number better\"",
        "class=\"number worse\"",
        "class=\"number best\"",
        "activate/text",
        "validation AUC",
        "Who answers for the users",
        "18,342",
        "Between the two groups are 2.17 standard deviations of the vectors and 0.231 standard deviations "
        "of the numbers of training rows.",
        "20 min 23 s",
        "2,900",
        "5f0c8d",
        "43.7 %",
        "0.25 %",
        "Experts over groups of ranks",
        "<span>Ranks 0–1</span>",
        "<span>Rank 2</span><div class=\"bars\"><div class=\"bar\"><i class=\"c1\" style=\"left:0.00%;width:100.00%\"></i></div>"
        "<div class=\"bar\"><i class=\"c2\"",
        "Efficiency over the number of ranks",
        "<td class=\"number\">190 tokens/s</td><td class=\"number\">0.950</td>",
        "<td class=\"number\">12.5 s</td><td class=\"number\">0.800</td>",
        "prefers-color-scheme:dark",
        "<title>thinkrec: ",
        "max-width:620px"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(text.find("class=\"missing\""), std::string::npos);
  EXPECT_LT(text.find("2 min 01 s"), text.find("20 min 23 s")) << "in the order of the stages";
  for (const char* part : {"<script", "<link", "<img", "@import", "url(", "http://", "https://", "nan%", ":nan"})
    EXPECT_EQ(text.find(part), std::string::npos) << part;
}

TEST(Html, WhatIsLeftOutIsCountedAndSaid) {
  const testing::TempFolder folder;
  std::string teams, groups, single, steps;
  for (int expert = 0; expert < 70; ++expert) {
    const char* comma = expert > 0 ? "," : "";
    teams += fmt::format("{}\"expert/{}\":{{\"first_rank\":{},\"ranks\":1}}", comma, expert, expert);
    groups += fmt::format("{}{{\"users\":10,\"train_rows\":20,\"x\":[0.1],\"y\":[0.2]}}", comma);
    single += fmt::format("{}10", comma);
    for (int step = 1; step <= 2; ++step)
      steps += fmt::format("{{\"stage\":\"expert/{}\",\"step\":{},\"loss\":0.5,\"time\":{}}}\n", expert, step, 1795400100 + 60 * step);
  }
  folder.put("metrics.jsonl", steps);
  folder.put("teams.json", "{" + teams + "}");
  folder.put("evaluation.json",
             "{\"gate\":{\"global\":0,\"merged\":0,\"single\":[" + single + "]},\"groups\":[" + groups + "]}");
  const auto text = report(folder);
  expect_balanced(text);
  for (const char* part : {"6 more experts are not drawn; evaluation.json", "700 users.", "6 more groups are not drawn", "30 more experts are not drawn; teams.json", "30 more stages are not drawn."})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  EXPECT_EQ(text.find("Between the two groups"), std::string::npos) << "there are 70";
}

TEST(Html, TheDataOfARunThatIsNotEvaluatedHasItsHash) {
  const testing::TempFolder folder;
  folder.put("run.json", R"({"hashes": {"data set": "d4c0de", "model": "abc", "tokenizer": "def"}})");
  EXPECT_NE(report(folder).find("<th scope=\"row\">Data set (SHA-256)</th><td><code>d4c0de</code>"), std::string::npos);
}

TEST(Html, TeamsThatStillTrainAreThere) {
  const testing::TempFolder folder;
  folder.put("metrics.jsonl", metrics());
  folder.put("metrics.team-1.jsonl", R"({"stage": "expert/17", "step": 1, "time": 1.8e9, "loss": 0.5})" "\n");
  EXPECT_NE(report(folder).find("expert/17"), std::string::npos);
}

TEST(Html, MissingPartsAreOneSentenceEach) {
  const testing::TempFolder folder;
  const auto text = report(folder);
  expect_balanced(text);
  std::size_t sentences = 0;
  for (auto at = text.find("class=\"missing\""); at != std::string::npos; at = text.find("class=\"missing\"", at + 1))
    ++sentences;
  EXPECT_EQ(sentences, 9U) << "results, training, gate, groups, timings, speeds, scaling, hashes, recipe";
  EXPECT_NE(text.find("thinkrec_train --config D/recipe.yaml --run-dir D --stages evaluate"), std::string::npos);
}

TEST(Html, PartsOfPartsMayBeMissing) {
  const testing::TempFolder folder;
  folder.put("evaluation.json",
             R"({"models":{"global":{"auc":0.7},"odd":3,"none":{}},"gate":{},"groups":[{}],
             "cohens_d":{"train_rows":0.5,"features":null},"timings":{},"data":{}})");
  folder.put(
      "metrics.jsonl",
      "{\"stage\":\"a\",\"step\":1,\"loss\":null}\n{\"stage\":\"b\",\"step\":5,\"loss\":0.5}\nnonsense\n{\"stage\":\"a\",\"st");
  folder.put("recipe.yaml", "a: [1\n");
  folder.put("teams.json", R"({"a":3,"b":{"first_rank":-1,"ranks":1}})");
  folder.put("scaling.json", R"({"global":[{"ranks":2,"tokens_per_s":[5]},7],"experts":3})");
  const auto text = report(folder);
  expect_balanced(text);
  EXPECT_NE(text.find("0.7000"), std::string::npos);
  EXPECT_NE(text.find("the two groups are 0.5 standard deviations of the numbers of training rows."), std::string::npos);
  EXPECT_NE(text.find("1 lines of metrics.jsonl could not be read"), std::string::npos);
  EXPECT_NE(text.find("a: [1"), std::string::npos);
}

TEST(Html, TokensThatWereNotComputedAreNoSpeed) {
  const testing::TempFolder folder;
  auto scaling = nlohmann::json::parse(kScaling);
  scaling.erase("tokens");
  folder.put("scaling.json", scaling.dump());
  auto text = report(folder);
  EXPECT_NE(text.find("The global stage is left out"), std::string::npos);
  EXPECT_EQ(text.find("tokens/s</td>"), std::string::npos);
  EXPECT_NE(text.find(">12.5 s</td>"), std::string::npos);
  scaling.erase("experts");
  folder.put("scaling.json", scaling.dump());
  text = report(folder);
  EXPECT_NE(text.find("The global stage is left out"), std::string::npos);
  EXPECT_NE(text.find("Not measured yet; launch/scaling.sh"), std::string::npos);
  folder.put("scaling.json", kScaling);
  text = report(folder);
  EXPECT_EQ(text.find("is left out"), std::string::npos);
  EXPECT_NE(text.find("190 tokens/s</td>"), std::string::npos);
}

TEST(Html, NothingFromAFileIsMarkup) {
  const std::string evil = "</style></title><script>alert(1)</script>\"'&";
  const testing::TempFolder folder;
  nlohmann::ordered_json evaluation = nlohmann::ordered_json::parse(kEvaluation);
  evaluation["split"] = evil;
  evaluation["models"][evil] = {{"auc", 0.5}, {evil, 0.4}};
  evaluation["difference"][evil + " - " + evil] = {{"auc", 0.5}, {evil, 0.4}};
  evaluation["timings"][evil] = 3;
  evaluation["data"][evil] = evil;
  evaluation["data"]["name"] = evil;
  folder.put("teams.json", nlohmann::json{{evil, {{"first_rank", 0}, {"ranks", 1}}}}.dump());
  auto scaling = nlohmann::json::parse(kScaling);
  for (const char* key : {"command", "cpu", "commit", "cores"}) scaling[key] = evil;
  folder.put("scaling.json", scaling.dump());
  folder.put("evaluation.json", evaluation.dump());
  folder.put(
      "metrics.jsonl",
      nlohmann::json{{"stage", evil}, {"step", 1}, {"loss", 1}, {"time", 1.8e9}, {"tokens_per_s", 3}, {"valid_auc", 0.6}}.dump() +
          "\n" + nlohmann::json{{"stage", evil}, {"step", 2}, {"loss", 1}, {"time", 1.9e9}, {"tokens_per_s", 3}}.dump() + "\n");
  folder.put("recipe.yaml", "model: {path: '" + std::string("</pre><script>") + "'}\n");
  const auto text = report(folder);
  EXPECT_EQ(text.find("<script"), std::string::npos);
  EXPECT_EQ(text.find("alert(1)</"), std::string::npos);
  expect_balanced(text);
}

TEST(Html, Escaping) {
  EXPECT_EQ(html::escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
  EXPECT_EQ(html::escape("é映😀\n"), "é映😀\n");
  EXPECT_EQ(html::escape(std::string("\xff\x01", 2)), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(html::escape("a\xe6"), "a\xEF\xBF\xBD");
}

TEST(Html, ABadFileIsNamed) {
  for (const char* name : {"evaluation.json", "teams.json", "scaling.json"}) {
    const testing::TempFolder folder;
    for (const char* bad : {"{\"models\":", "[1]", ""}) {
      folder.put(name, bad);
      testing::expect_error(ExitCode::kBadData, name, [&] { write_report(folder.path().string()); });
    }
  }
}

TEST(Html, ABadEvaluationIsMadeAnewByTraining) {
  const testing::TempFolder folder;
  folder.put("evaluation.json", "[]");
  testing::expect_error(ExitCode::kBadData, "run thinkrec_train with the run's recipe and --stages evaluate",
                        [&] { write_report(folder.path().string()); });
}

TEST(Html, RandomDamageNeverCrashesNorBreaksThePage) {
  std::mt19937 random(9);
  const testing::TempFolder folder;
  const auto pick = [&](nlohmann::ordered_json& at, const auto& self) -> void {  // replaces some values by ones of another kind
    const nlohmann::ordered_json odd[] = {nullptr,
                                          -1,
                                          1e300,
                                          "text",
                                          nlohmann::ordered_json::array({1, "x", nullptr}),
                                          nlohmann::ordered_json::object(),
                                          true,
                                          std::nan(""),
                                          INT64_MAX,
                                          -1e300};
    for (auto& item : at) {
      if (random() % 8 == 0) {
        item = odd[random() % 10];
      } else if (item.is_structured()) {
        self(item, self);
      }
    }
  };
  for (int round = 0; round < 150; ++round) {
    auto evaluation = nlohmann::ordered_json::parse(kEvaluation);
    pick(evaluation, pick);
    folder.put("evaluation.json", evaluation.dump());
    for (const auto& [name, whole] : {std::pair{"teams.json", kTeams}, {"scaling.json", kScaling}}) {
      auto json = nlohmann::ordered_json::parse(whole);
      pick(json, pick);
      folder.put(name, json.dump());
    }
    std::string log = metrics();
    for (int n = 0; n < 40; ++n) log[random() % log.size()] = static_cast<char>(random() % 256);
    folder.put("metrics.jsonl", log);
    const auto text = report(folder);
    if (round % 10 == 0) expect_balanced(text);
    for (const char* part : {"nan", "inf%", "\"inf", " inf "})
      ASSERT_EQ(text.find(part), std::string::npos) << part << " " << evaluation.dump();
  }
}

}  // namespace
}  // namespace thinkrec
