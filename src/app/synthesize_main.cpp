// thinkrec_synthesize: keywords of items and explanations for train rows, written into the data set.

#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>

#include "app/programs.h"
#include "comm/rank_threads.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/run_program.h"
#include "data/guard.h"
#include "model/config.h"
#include "report/progress.h"
#include "synthesis/keywords.h"
#include "synthesis/openai.h"
#include "synthesis/reasons.h"
#include "train/local_chat.h"
#include "train/session.h"

namespace {

using namespace thinkrec;

void check_applies(const CommandLine& line) {
  const std::string& what = line.positional()[0];
  const bool reasons = what != "keywords", local = line.text("backend") == "local";
  const auto refuse = [&](bool applies, std::initializer_list<const char*> names, const std::string& to) {
    for (const char* name : names) {
      if (!applies && line.has(name)) fail(ExitCode::kUsage, "--{} does not apply to {}", name, to);
    }
  };
  refuse(reasons, {"rows", "history", "turns", "wrong", "threshold", "store", "min-words", "max-words", "retry-failed", "reveal"},
         "keywords");
  refuse(!reasons, {"items", "again"}, what);
  refuse(what == "references", {"output", "split"}, what);
  refuse(what != "references", {"wrong", "threshold"}, what);
  refuse(local, {"batch", "threads"}, "--backend openai");
  refuse(!local, {"endpoint", "key-variable", "concurrency", "timeout", "retries", "retry-wait"}, "--backend local");
  if (line.has("threshold") && !line.has("wrong")) fail(ExitCode::kUsage, "--threshold is of the scores that --wrong names");
}

/// The local model with all it needs.
class OwnedLocalChat : public ChatBackend {
 public:
  explicit OwnedLocalChat(const CommandLine& line)
      : world_(make_solo_collectives()),
        model_(line.required("model"), *world_),
        tokenizer_(load_tokenizer(line.text("model"))),
        chat_(model_.llama(), model_.hash(), *tokenizer_,
              {line.integer("batch"), line.real("temperature"), static_cast<std::uint64_t>(line.integer("seed")), generation_ends(line.text("model"))}) {
    const std::int64_t threads = line.integer("threads");
    at::set_num_threads(threads > 0 ? static_cast<int>(threads) : allowed_cpus());
  }
  std::string model() const override { return chat_.model(); }
  std::string settings() const override { return chat_.settings(); }
  std::int64_t batch() const override { return chat_.batch(); }
  void ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) override {
    chat_.ask(requests, answered);
  }

 private:
  std::unique_ptr<Collectives> world_;
  SharedModel model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  LocalChat chat_;
};

std::unique_ptr<ChatBackend> make_backend(const CommandLine& line) {
  if (line.text("backend") == "local") return std::make_unique<OwnedLocalChat>(line);
  OpenAiConfig config;
  config.endpoint = line.required("endpoint");
  config.model = line.required("model");
  config.key_variable = line.text("key-variable");
  if (const char* key = std::getenv(config.key_variable.c_str()); key != nullptr) config.key = key;
  config.concurrency = line.integer("concurrency");
  config.timeout = line.real("timeout");
  config.retries = line.integer("retries");
  config.retry_wait = line.real("retry-wait");
  config.temperature = line.real("temperature");
  config.seed = static_cast<std::uint64_t>(line.integer("seed"));
  return make_openai_backend(config);
}

/// What one call works on: the data set, or a file of references, which stand in the data set's reasons meanwhile; journal and list of
/// failures beside it. Saves them now and then.
class Store {
 public:
  /// `references` (of `split`) empty: the data set. The journal comes first: its lock keeps another process from what is read.
  Store(const std::string& data, const std::string& references, Split split)
      : path_(references.empty() ? data : references),
        journal_(path_ + ".journal"),
        dataset_(load_dataset(data)),
        failures_(path_ + ".failed.jsonl"),
        references_(!references.empty()) {
    if (references_) dataset_.reasons = read_references(references, dataset_, split);
  }

  const std::string& path() const { return path_; }
  Dataset& dataset() { return dataset_; }
  Journal& journal() { return journal_; }
  FailureList& failures() { return failures_; }

  void save_when_due(bool later = false) {
    constexpr std::chrono::seconds kBetweenSaves(60);
    changed_ = true;
    if (!later && std::chrono::steady_clock::now() - last_ >= kBetweenSaves) save();
  }
  void save() {
    if (changed_ && references_) write_references(path_, dataset_.reasons);
    if (changed_ && !references_) save_dataset(dataset_, path_);
    if (changed_) failures_.save();
    changed_ = false;
    last_ = std::chrono::steady_clock::now();
  }
  void finish() {
    save();
    journal_.remove();
  }

 private:
  std::string path_;
  Journal journal_;
  Dataset dataset_;
  FailureList failures_;
  bool references_;
  bool changed_ = false;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Runs the work; what it had got when it failed is saved, or with `whole` the journal has it alone, which is left for the next run in any
/// case.
template <class Work>
auto run_and_save(Store& store, bool whole, Work work) {
  try {
    auto report = work();
    store.finish();
    return report;
  } catch (...) {
    if (!whole) store.save();
    throw;
  }
}

std::int64_t reply_tokens(const CommandLine& line, std::int64_t local) {
  constexpr std::int64_t kFromEndpoint = 1024;
  if (line.integer("max-new-tokens") > 0) return line.integer("max-new-tokens");
  return line.text("backend") == "local" ? local : kFromEndpoint;
}

void tell_of_failures(const FailureList& failures, const std::string& what, std::int64_t unanswered) {
  if (unanswered > 0) log_warning("{} questions got no answer; the same command asks them again", unanswered);
  if (failures.count(what) > 0) log_info("{} lists what failed, and why", failures.path());
}

int make_reasons(const CommandLine& line, Store& store, ChatBackend& backend) {
  Dataset& dataset = store.dataset();
  ReasonConfig config;
  config.rows = line.integer("rows");
  config.history = line.integer("history");
  config.max_tokens = reply_tokens(line, config.max_tokens);
  config.turns = line.integer("turns");
  config.bounds = {line.integer("min-words"), line.integer("max-words")};
  config.reveal = line.flag("reveal");
  if (config.reveal && config.turns < 2)
    fail(ExitCode::kUsage, "--reveal needs --turns 2 or more: the first does not know the answer");
  config.thinking = line.text("store") == "thinking";
  config.retry_failed = line.flag("retry-failed");
  config.seed = static_cast<std::uint64_t>(line.integer("seed"));
  if (line.positional()[0] == "references")
    config.from = rows_with_history(dataset, parse_split(line.text("split")), config.history);
  if (line.has("wrong")) {
    config.from = wrong_rows(dataset, line.text("wrong"), line.real("threshold"));
    log_info("{} of {} train rows are scored wrongly by {}", config.from.size(), dataset.rows(Split::kTrain).size(),
             line.text("wrong"));
  }
  Progress progress("reasons", config.rows, true);
  const auto later = [](const ReasonReport& report) {
    return std::accumulate(report.accepted.begin() + 1, report.accepted.end(), std::int64_t{0});
  };
  const ReasonReport report = run_and_save(store, false, [&] {
    return synthesize_reasons(dataset, backend, store.journal(), store.failures(), config, [&](const ReasonReport& so_far) {
      store.save_when_due();
      progress.update(static_cast<std::int64_t>(dataset.reasons.size()),
                      fmt::format("{} at once, {} after the answer was revealed, {} failed", so_far.accepted[0], later(so_far),
                                  so_far.failed));
    });
  });
  progress.finish();
  std::printf("%s: %zu reasons (%ld before; %ld at once, %ld after the answer was revealed, %ld rows failed, %ld unanswered)\n",
              store.path().c_str(), dataset.reasons.size(), report.had, report.accepted[0], later(report), report.failed,
              report.unanswered);
  if (report.from_journal > 0) log_info("{} replies were there from a run that was broken off", report.from_journal);
  if (report.skipped > 0)
    log_info("{} rows were skipped, which this model has failed before; --retry-failed tries them again", report.skipped);
  tell_of_failures(store.failures(), "reason", report.unanswered);
  if (static_cast<std::int64_t>(dataset.reasons.size()) < config.rows) {
    log_warning(
        "only {} of {} reasons were made: too many rows failed, or too few were left to try; a stronger model, more --turns or "
        "another --seed help",
        dataset.reasons.size(), config.rows);
  }
  return 0;
}

int make_keywords(const CommandLine& line, Store& store, ChatBackend& backend) {
  Dataset& dataset = store.dataset();
  KeywordConfig config;
  config.items = line.integer("items");
  config.max_tokens = reply_tokens(line, config.max_tokens);
  config.again = line.flag("again");
  Progress progress("keywords", 0, true);
  // An item's keywords may be part of the question about it: those that replace them are saved when all are there, or a run that goes on
  // would ask anew.
  const bool whole = config.again;
  const KeywordReport report = run_and_save(store, whole, [&] {
    return synthesize_keywords(dataset, backend, store.journal(), store.failures(), config, [&](const KeywordReport& so_far) {
      store.save_when_due(whole);
      progress.update(so_far.made,
                      fmt::format("{} without a keyword in the reply, {} unanswered", so_far.failed, so_far.unanswered));
    });
  });
  progress.finish();
  const auto have =
      std::count_if(dataset.items.begin(), dataset.items.end(), [](const Item& item) { return !item.keywords.empty(); });
  std::printf("%s: %ld of %zu items have keywords (%ld before; %ld made, %ld failed, %ld unanswered)\n", store.path().c_str(),
              static_cast<long>(have), dataset.items.size(), report.had, report.made, report.failed, report.unanswered);
  if (report.from_journal > 0) log_info("{} replies were there from a run that was broken off", report.from_journal);
  tell_of_failures(store.failures(), "keywords", report.unanswered);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_synthesize", [&] {
    const CommandLine line = read_command_line(synthesize_program(), argc, argv);
    if (line.finished()) return 0;
    const std::string what = line.positional().size() == 1 ? line.positional()[0] : "";
    if (what != "reasons" && what != "keywords" && what != "references")
      fail(ExitCode::kUsage,
           "say what to synthesize: thinkrec_synthesize reasons --data data.h5 ..., or keywords, or references");
    check_applies(line);
    init_log("thinkrec_synthesize", 0);
    const std::string path = line.required("data");
    check_in_guard(path);
    Store store(path, what == "references" ? line.required("output") : "", parse_split(line.text("split")));
    const std::unique_ptr<ChatBackend> backend = make_backend(line);
    return what == "keywords" ? make_keywords(line, store, *backend) : make_reasons(line, store, *backend);
  });
}
