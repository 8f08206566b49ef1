#include "train/recommender.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <numeric>
#include <set>

#include "core/error.h"
#include "data/open_row.h"
#include "text/unicode.h"
#include "train/scorer.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMergedAdapters = 64;  // kept for users who come again

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

struct Recommender::Known {
  std::size_t request = 0;  // index of it and of its reply
  std::int64_t user = 0, row = 0;
  std::vector<std::int32_t> items{};
  std::size_t first = 0;  // of its rows among all
};

Recommender::Recommender(const Session& session, const RunState& state, const RecommenderConfig& config)
    : session_(session),
      state_(state),
      config_(config),
      fused_(session, state, kMergedAdapters),
      writer_(session, state, config.max_new_tokens, config.precision) {
  const Dataset& dataset = session.dataset();
  for (std::size_t u = 0; u < dataset.users.size(); ++u) user_.emplace(dataset.users[u], static_cast<std::int64_t>(u));
  for (std::size_t i = 0; i < dataset.items.size(); ++i) item_.emplace(dataset.items[i].id, static_cast<std::int32_t>(i));
}

std::vector<std::int32_t> Recommender::proposed(const Known& known, const Dataset& open, const at::Tensor& item_vectors) const {
  const Dataset& dataset = session_.dataset();
  const auto user = static_cast<std::size_t>(known.user);
  const std::set<std::int32_t> seen(dataset.item.begin() + dataset.user_begin[user],
                                    dataset.item.begin() + dataset.user_begin[user + 1]);
  const at::Tensor vector = state_.encoder->user_vectors(open, std::span(&known.row, 1))[0];
  const at::Tensor order = at::mv(item_vectors, vector).argsort(0, true);
  std::vector<std::int32_t> items;
  for (std::int64_t i = 0; i < order.numel() && static_cast<std::int64_t>(items.size()) < config_.pool; ++i) {
    const auto item = static_cast<std::int32_t>(order[i].item<std::int64_t>());
    if (!seen.contains(item)) items.push_back(item);
  }
  return items;
}

std::vector<RankReply> Recommender::rank(std::span<const RankRequest> requests) {
  // OpenMP keeps it for each thread, and a server's is not the one that opened the session.
  at::set_num_threads(session_.threads());
  const at::NoGradGuard no_grad;
  const Dataset& dataset = session_.dataset();
  std::vector<RankReply> replies(requests.size());
  std::vector<Known> known;
  std::set<std::int64_t> users;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const RankRequest& request = requests[r];
    RankReply& reply = replies[r];
    reply.id = request.id;
    reply.user = request.user;
    const auto user = user_.find(request.user);
    if (user == user_.end()) {
      reply.status = RankStatus::kUnknownUser;
      reply.error = fmt::format("user {} is not in the data set '{}', which has {} users, for example '{}'",
                                in_quotes(request.user), dataset.name, dataset.users.size(), dataset.users.front());
      continue;
    }
    Known one{r, user->second};
    for (const std::string& id : request.candidates) {
      const auto item = item_.find(id);
      if (item == item_.end()) {
        reply.status = RankStatus::kUnknownItem;
        reply.error = fmt::format("'candidates': item {} is not in the data set '{}'", in_quotes(id), dataset.name);
        break;
      }
      one.items.push_back(item->second);
    }
    if (reply.status != RankStatus::kOk) continue;
    users.insert(one.user);
    known.push_back(std::move(one));
  }
  if (known.empty()) return replies;

  const std::vector<std::int64_t> asking(users.begin(), users.end());
  const auto [open, open_rows] = with_open_rows(dataset, asking);
  const auto features = feature_bank(state_, open);
  const PromptBuilder prompts(open, session_.tokenizer(), final_prompt(session_));
  const at::Tensor item_vectors = state_.encoder->item_vectors();
  std::vector<EncodedRow> encoded;
  std::vector<std::int32_t> row_user;
  for (Known& one : known) {
    one.row = open_rows[static_cast<std::size_t>(std::lower_bound(asking.begin(), asking.end(), one.user) - asking.begin())];
    if (requests[one.request].candidates.empty()) one.items = proposed(one, open, item_vectors);
    one.first = encoded.size();
    for (const std::int32_t item : one.items) encoded.push_back(prompts.prompt_for(one.user, one.row, item));
    row_user.insert(row_user.end(), one.items.size(), static_cast<std::int32_t>(one.user));
  }
  const Scorer scorer(session_.model(), state_.projector, features.get(), prompts.verdicts().yes,
                      scoring_tokens(session_.recipe().integer("run.micro_tokens"), session_.model()), session_.world());
  const TopAdapterOf own = [&](std::int32_t user) { return TopAdapter{true, &fused_.of(user)}; };
  auto score = scorer.score(encoded, row_user, &state_.global, first_expert_layer(session_), std::span(&own, 1))[0];
  if (const double weight = state_.calibration.encoder_weight; weight > 0) {
    for (const Known& one : known) {
      const at::Tensor logits =
          at::mv(item_vectors, state_.encoder->user_vectors(open, std::span(&one.row, 1))[0]).to(at::kDouble);
      const double* logit = logits.const_data_ptr<double>();
      for (std::size_t i = 0; i < one.items.size(); ++i) score[one.first + i] += weight * logit[one.items[i]];
    }
  }

  std::vector<ReasonToWrite> reasons;  // for verdicts that the scores have decided: a reason must not contradict its own
  std::vector<std::string*> written;
  for (const Known& one : known) {
    const RankRequest& request = requests[one.request];
    RankReply& reply = replies[one.request];
    std::vector<std::size_t> order(one.items.size());
    std::iota(order.begin(), order.end(), one.first);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
    order.resize(std::min(order.size(), static_cast<std::size_t>(request.top)));
    const auto user = static_cast<std::int32_t>(one.user);
    reply.items.reserve(order.size());  // reasons are written into them later
    for (const std::size_t i : order) {
      const Item& item = dataset.items[static_cast<std::size_t>(one.items[i - one.first])];
      reply.items.push_back({item.id, item.title, score[i], 1 / (1 + std::exp(-score[i]))});
      if (!request.explain) continue;
      const std::int32_t verdict = score[i] > 0 ? prompts.verdicts().yes : prompts.verdicts().no;
      reasons.push_back({&encoded[i], {verdict}, fused_.of(user)});
      written.push_back(&reply.items.back().reason);
    }
    const Gate& gate = fused_.gate(user);
    reply.decision = served_by(gate);
    reply.weights = gate.weights;
  }
  const std::vector<std::string> texts = writer_.write(reasons, features.get());
  for (std::size_t i = 0; i < texts.size(); ++i) *written[i] = texts[i];
  return replies;
}

}  // namespace thinkrec
