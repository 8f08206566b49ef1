#include "model/generator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"

namespace thinkrec {

/// Keys and values of tokens begin .. end - 1 of all prompts that begin with `prompt`.
struct Generator::Shared {
  std::vector<std::int32_t> prompt;  // [end], from the first token on
  at::Tensor features;
  const ProjectionHook* hook;
  std::int64_t begin;
  KvRun run;
  std::int64_t filled = 0;  // tokens that are there, or will be after the pass that is being made
  std::int64_t end() const { return static_cast<std::int64_t>(prompt.size()); }
};

struct Generator::Row {
  std::int64_t ticket;
  GenerateRow asked;
  std::vector<std::int32_t> text{};               // new tokens
  std::vector<std::shared_ptr<Shared>> prefix{};  // what its prompt begins with, one behind the other
  std::unique_ptr<KvRun> own{};                   // the rest of the prompt, and the text
  std::int64_t own_begin = 0, own_filled = 0;
  std::int64_t most = 0;  // new tokens that it may have

  std::int64_t prompt_length() const { return static_cast<std::int64_t>(asked.prompt.size()); }
  std::int64_t known() const { return prompt_length() + static_cast<std::int64_t>(text.size()); }
  std::vector<std::int32_t> seen() const {
    std::vector<std::int32_t> all;
    if (asked.config.remember_prompt) all = asked.prompt;
    all.insert(all.end(), text.begin(), text.end());
    return all;
  }
};

namespace {

/// Tokens that both begin with; slots must hold the same features.
std::int64_t common(const std::vector<std::int32_t>& a, const at::Tensor& a_features, const std::vector<std::int32_t>& b,
                    const at::Tensor& b_features) {
  const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto length = end - a.begin();
  if (a_features.is_same(b_features)) return length;
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int32_t token = a[static_cast<std::size_t>(i)];
    if (token >= 0) continue;
    if (!at::equal(a_features[-1 - token], b_features[-1 - token])) return i;
  }
  return length;
}

}  // namespace

std::int64_t most_new_tokens(const Llama& model, std::int64_t length, const GenerateConfig& config) {
  const std::int64_t positions = model.rope_tables().length();
  if (length >= positions) {
    fail(ExitCode::kBadData, "a prompt has {} tokens, of the model's {} positions; lower prompt.max_tokens or prompt.history",
         length, positions);
  }
  return std::min(config.max_new_tokens, positions - length);
}

Generator::Generator(const Llama& model, const GeneratorConfig& config)
    : model_(model), config_(config), decoder_(model, config.precision, config.threads) {
  THINKREC_CHECK(config.rows >= 1 && config.pass_tokens >= 1 && config.shared_from >= 1, "rows {}, tokens {}, shared from {}",
                 config.rows, config.pass_tokens, config.shared_from);
}
Generator::~Generator() = default;

std::int64_t Generator::add(GenerateRow asked) {
  check(asked.config);
  THINKREC_CHECK(!asked.prompt.empty(), "prompt {} is empty", tickets_);
  const std::int64_t most = most_new_tokens(model_, static_cast<std::int64_t>(asked.prompt.size()), asked.config);
  const std::int64_t slots = asked.features.defined() ? asked.features.size(0) : 0;
  for (const std::int32_t token : asked.prompt)
    THINKREC_CHECK(token < model_.config().vocab && -1 - token < slots, "token {}, {} slots", token, slots);
  auto row = std::make_unique<Row>(Row{tickets_, std::move(asked)});
  row->most = most;
  if (most == 0) {
    finished_.push_back({row->ticket, {}});
  } else {
    waiting_.push_back(std::move(row));
  }
  return tickets_++;
}

/// Finds or plans the runs that the row's prompt has in common with others.
void Generator::share(Row& row) {
  const GenerateRow& asked = row.asked;
  const std::int64_t last = row.prompt_length() - 1;  // that token is the row's own: its logits are wanted
  for (bool found = true; found;) {
    found = false;
    for (const auto& shared : shared_) {
      if (shared->begin != row.own_begin || shared->hook != asked.hook || shared->end() > last) continue;
      if (common(shared->prompt, shared->features, asked.prompt, asked.features) < shared->end()) continue;
      row.prefix.push_back(shared);
      row.own_begin = shared->end();
      found = true;
      break;
    }
  }
  std::set<std::int64_t> cuts;
  for (const auto& other : waiting_) {
    if (other->asked.hook != asked.hook) continue;
    cuts.insert(std::min(
        {last, other->prompt_length() - 1, common(other->asked.prompt, other->asked.features, asked.prompt, asked.features)}));
  }
  for (const std::int64_t cut : cuts) {
    if (cut - row.own_begin < config_.shared_from) continue;
    shared_.push_back(std::make_shared<Shared>(Shared{{asked.prompt.begin(), asked.prompt.begin() + cut},
                                                      asked.features,
                                                      asked.hook,
                                                      row.own_begin,
                                                      KvRun(model_.config(), config_.precision, cut - row.own_begin)}));
    row.prefix.push_back(shared_.back());
    row.own_begin = cut;
  }
}

void Generator::admit() {
  while (!waiting_.empty() && static_cast<std::int64_t>(working_.size()) < config_.rows) {
    std::unique_ptr<Row> row = std::move(waiting_.front());
    waiting_.pop_front();
    share(*row);
    row->own = std::make_unique<KvRun>(model_.config(), config_.precision, row->prompt_length() + row->most - row->own_begin);
    working_.push_back(std::move(row));
  }
}

/// A shared run goes with the last row that needs it, as the hook may that it was made for.
void Generator::forget_shared() {
  std::erase_if(shared_, [&](const std::shared_ptr<Shared>& shared) {
    return shared.use_count() == 1 && std::none_of(waiting_.begin(), waiting_.end(), [&](const std::unique_ptr<Row>& row) {
             return row->asked.hook == shared->hook && row->prompt_length() > shared->end() &&
                    common(shared->prompt, shared->features, row->asked.prompt, row->asked.features) == shared->end();
           });
  });
}

/// Appends what the row can do in this pass, in at most `room` tokens: its part of shared runs that are not there yet, then its own. What
/// another row fills in this pass counts as there.
void Generator::plan(Row& row, std::int64_t room, std::vector<DecodePiece>& pieces, std::vector<Row*>& owners) const {
  std::vector<DecodePiece::Part> parts;
  const auto add = [&](const KvRun& run, std::int64_t filled, std::span<const std::int32_t> tokens, bool logits) {
    DecodePiece piece{parts, tokens, row.asked.features, row.asked.sample, row.asked.hook, logits};
    piece.parts.push_back({&run, filled});
    pieces.push_back(std::move(piece));
    owners.push_back(&row);
    room -= static_cast<std::int64_t>(tokens.size());
  };
  for (const auto& shared : row.prefix) {
    const std::int64_t planned = shared->end() - shared->begin, count = std::min(planned - shared->filled, room);
    if (count > 0) {
      add(shared->run, shared->filled,
          std::span(row.asked.prompt)
              .subspan(static_cast<std::size_t>(shared->begin + shared->filled), static_cast<std::size_t>(count)),
          false);
      shared->filled += count;
    }
    if (shared->filled < planned) return;
    parts.push_back({&shared->run, planned});
  }
  const std::int64_t at = row.own_begin + row.own_filled, count = std::min(row.known() - at, room);
  if (count <= 0) return;
  const std::span<const std::int32_t> tokens =
      at < row.prompt_length()
          ? std::span<const std::int32_t>(row.asked.prompt).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count))
          : std::span<const std::int32_t>(row.text).last(1);
  add(*row.own, row.own_filled, tokens, at + count == row.known());
  row.own_filled += count;
}

bool Generator::step() {
  admit();
  if (working_.empty()) return false;
  // Rows of one adapter stand together, and those that already write come first: a long prompt does not hold them up.
  std::vector<Row*> order;
  for (const auto& row : working_) order.push_back(row.get());
  std::stable_partition(order.begin(), order.end(), [](const Row* row) { return !row->text.empty(); });
  std::vector<DecodePiece> pieces;
  std::vector<Row*> owners;
  std::int64_t room = config_.pass_tokens;
  for (Row* row : order) {
    const std::size_t before = pieces.size();
    // A row that writes always has its one token, so that no row starves.
    plan(*row, row->text.empty() ? room : std::max<std::int64_t>(1, room), pieces, owners);
    for (std::size_t i = before; i < pieces.size(); ++i) {
      const auto count = static_cast<std::int64_t>(pieces[i].tokens.size());
      room -= count;
      if (row->text.empty()) prompt_tokens_ += count;
    }
    room = std::max<std::int64_t>(0, room);
  }
  std::vector<std::size_t> by_hook(pieces.size());
  std::map<const ProjectionHook*, std::size_t> place;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    by_hook[i] = i;
    place.emplace(pieces[i].hook, place.size());
  }
  std::stable_sort(by_hook.begin(), by_hook.end(),
                   [&](std::size_t a, std::size_t b) { return place[pieces[a].hook] < place[pieces[b].hook]; });
  std::vector<DecodePiece> sorted;
  std::vector<Row*> asking;
  for (const std::size_t i : by_hook) {
    if (pieces[i].logits) asking.push_back(owners[i]);
    sorted.push_back(std::move(pieces[i]));
  }
  take_tokens(decoder_.run(sorted), asking);
  return true;
}

void Generator::take_tokens(std::span<float> logits, const std::vector<Row*>& asking) {
  const auto vocab = static_cast<std::size_t>(model_.config().vocab);
  std::vector<std::int32_t> chosen(asking.size());
#pragma omp parallel for num_threads(config_.threads) if (config_.threads > 1) schedule(dynamic, 1)
  for (std::size_t i = 0; i < asking.size(); ++i) {
    const Row& row = *asking[i];
    chosen[i] = choose_token(logits.subspan(i * vocab, vocab), row.seen(), static_cast<std::int64_t>(row.text.size()),
                             row.asked.sample, row.asked.config);
  }
  std::set<const Row*> ended;
  for (std::size_t i = 0; i < asking.size(); ++i) {
    Row& row = *asking[i];
    const GenerateConfig& config = row.asked.config;
    const bool stops = (config.eos && chosen[i] == *config.eos) ||
                       std::find(config.stop.begin(), config.stop.end(), chosen[i]) != config.stop.end();
    if (!stops) row.text.push_back(chosen[i]);
    if (!stops && static_cast<std::int64_t>(row.text.size()) < row.most) continue;
    finished_.push_back({row.ticket, row.text});
    ended.insert(&row);
  }
  std::erase_if(working_, [&](const std::unique_ptr<Row>& row) { return ended.contains(row.get()); });
  forget_shared();
}

std::vector<GeneratedRow> Generator::take_finished() { return std::exchange(finished_, {}); }

std::vector<std::vector<std::int32_t>> Generator::run(std::vector<GenerateRow> rows) try {
  std::map<std::int64_t, std::size_t> wanted;
  for (std::size_t i = 0; i < rows.size(); ++i) wanted.emplace(add(std::move(rows[i])), i);
  std::vector<std::vector<std::int32_t>> texts(rows.size());
  std::vector<GeneratedRow> others;
  for (std::size_t left = rows.size(); left > 0;) {
    for (GeneratedRow& done : take_finished()) {
      const auto found = wanted.find(done.ticket);
      if (found == wanted.end()) {
        others.push_back(std::move(done));
      } else {
        texts[found->second] = std::move(done.tokens);
        --left;
      }
    }
    if (left > 0) THINKREC_CHECK(step(), "{} rows do not end", left);
  }
  finished_.insert(finished_.begin(), std::make_move_iterator(others.begin()), std::make_move_iterator(others.end()));
  return texts;
} catch (...) {
  // The caller's hooks go with the error: what would apply them must not be met by the next run.
  waiting_.clear();
  working_.clear();
  shared_.clear();
  finished_.clear();
  throw;
}

}  // namespace thinkrec
