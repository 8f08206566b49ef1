// thinkrec_recommend: items ranked for a user, with reasons.

#include <ATen/ATen.h>

#include <set>

#include "app/programs.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "data/open_row.h"
#include "model/generate.h"
#include "train/run.h"
#include "train/row_losses.h"
#include "text/unicode.h"
#include "train/scorer.h"

namespace {

using namespace thinkrec;

std::int64_t find_user(const Dataset& dataset, const std::string& id) {
  const auto found = std::find(dataset.users.begin(), dataset.users.end(), id);
  if (found == dataset.users.end()) {
    fail(ExitCode::kBadData, "user '{}' is not in the data set '{}', which has {} users, for example '{}'", id, dataset.name,
         dataset.users.size(), dataset.users.front());
  }
  return found - dataset.users.begin();
}

std::vector<std::int32_t> candidates_of(const CommandLine& line, const Dataset& dataset, std::int64_t user,
                                        const Encoder& encoder, const Dataset& open, std::int64_t row) {
  std::vector<std::int32_t> items;
  if (!line.text("candidates").empty()) {
    std::map<std::string, std::int32_t> number;
    for (std::size_t i = 0; i < dataset.items.size(); ++i) number.emplace(dataset.items[i].id, static_cast<std::int32_t>(i));
    for (const std::string& id : split_list(line.text("candidates"))) {
      const auto found = number.find(id);
      if (found == number.end())
        fail(ExitCode::kBadData, "--candidates: item '{}' is not in the data set '{}'", id, dataset.name);
      items.push_back(found->second);
    }
    return items;
  }
  std::set<std::int32_t> seen;
  for (std::int64_t i = dataset.user_begin[static_cast<std::size_t>(user)];
       i < dataset.user_begin[static_cast<std::size_t>(user) + 1]; ++i) {
    seen.insert(dataset.item[static_cast<std::size_t>(i)]);
  }
  const at::NoGradGuard no_grad;
  const at::Tensor vector = encoder.user_vectors(open, std::span(&row, 1))[0];
  const at::Tensor order = at::mv(encoder.item_vectors(), vector).argsort(0, true);
  for (std::int64_t i = 0; i < order.numel() && static_cast<std::int64_t>(items.size()) < line.integer("pool"); ++i) {
    const auto item = static_cast<std::int32_t>(order[i].item<std::int64_t>());
    if (!seen.contains(item)) items.push_back(item);
  }
  return items;
}

/// One line of valid UTF-8: a model may stop in the middle of a character, or say control characters.
std::string printable(const std::string& text) {
  std::string out;
  for (const char32_t c : decode_utf8(text)) append_utf8(out, c < 0x20 || c == 0x7f ? U' ' : c);
  return out;
}

/// The reason for `verdict`, the answer's first token: the score has decided, and the reason must not contradict it.
std::string explain(const Session& session, const EncodedRow& prompt, std::int32_t verdict, const LoraAdapter& adapter,
                    const Projector& projector, const FeatureBank& features, std::int64_t max_new_tokens) {
  PackedBatch packed;
  std::vector<FeatureRef> slots;
  pack_row(prompt, prompt.prompt_length, 0, packed, slots);
  GenerateConfig config;
  config.max_new_tokens = max_new_tokens;
  config.eos = session.tokenizer().eos();
  config.no_repeat_ngram = 4;
  config.first = {verdict};
  const LoraHook hook(adapter);
  const at::NoGradGuard no_grad;
  const at::Tensor vectors = slots.empty() ? at::Tensor() : features.project(projector, slots);
  return printable(session.tokenizer().decode(generate(session.model(), &hook, packed, vectors, config)[0]));
}

const char* served_by(const Gate& gate) {
  switch (gate.decision) {
    case GateDecision::kGlobal:
      return "global";
    case GateDecision::kSingle:
      return "expert";
    case GateDecision::kMerged:
      return "merged experts";
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_recommend", [&] {
    const CommandLine line = read_command_line(recommend_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_recommend", 0);
    const auto world = make_solo_collectives();
    const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
    const RunState state = load_run(session);
    const std::int64_t user = find_user(session.dataset(), line.required("user"));
    const auto [open, row] = with_open_row(session.dataset(), user);
    const auto bank = feature_bank(state, open);
    const FeatureBank& features = *bank;
    const PromptBuilder prompts(open, session.tokenizer(), final_prompt(session));
    const auto items = candidates_of(line, session.dataset(), user, *state.encoder, open, row);
    FusedAdapters fused(session, state);
    const LoraAdapter& adapter = fused.of(static_cast<std::int32_t>(user));
    const Gate& gate = fused.gate(static_cast<std::int32_t>(user));

    std::vector<EncodedRow> encoded;
    for (const std::int32_t item : items) encoded.push_back(prompts.prompt_for(user, row, item));
    const Scorer scorer(session.model(), state.projector, &features, prompts.verdicts().yes,
                        session.recipe().integer("run.micro_tokens"), *world);
    const auto score = scorer.score(encoded, std::vector<std::int32_t>(items.size(), static_cast<std::int32_t>(user)), &adapter);
    std::vector<std::size_t> order(items.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
    order.resize(std::min(order.size(), static_cast<std::size_t>(line.integer("top"))));
    if (!line.flag("json")) {
      std::printf("user %s: served by %s (weights %s)\n", line.text("user").c_str(), served_by(gate),
                  fmt::format("{:.2f}", fmt::join(gate.weights, ", ")).c_str());
    }
    for (std::size_t place = 0; place < order.size(); ++place) {
      const std::size_t i = order[place];
      const Item& item = session.dataset().items[static_cast<std::size_t>(items[i])];
      const std::int32_t verdict = score[i] > 0 ? prompts.verdicts().yes : prompts.verdicts().no;
      const std::string reason = line.flag("explain") ? explain(session, encoded[i], verdict, adapter, state.projector, features,
                                                                line.integer("max-new-tokens"))
                                                      : std::string();
      if (line.flag("json")) {
        nlohmann::json out = {{"user", line.text("user")},   {"rank", place + 1}, {"item", item.id},
                              {"title", item.title},         {"score", score[i]}, {"expert_weights", gate.weights},
                              {"served_by", served_by(gate)}};
        if (line.flag("explain")) out["reason"] = reason;
        std::printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
      } else {
        std::printf("%2zu. %s  [%s]  score %.3f\n", place + 1, item.title.c_str(), item.id.c_str(), score[i]);
        if (line.flag("explain")) std::printf("    %s\n", reason.c_str());
      }
    }
    return 0;
  });
}
