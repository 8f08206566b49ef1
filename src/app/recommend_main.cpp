// thinkrec_recommend: items ranked for a user, or for the users of a file, with reasons.

#include "app/programs.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/log.h"
#include "core/run_program.h"
#include "io/csv.h"
#include "train/recommender.h"
#include "train/run.h"

namespace {

using namespace thinkrec;

/// The requests of a file; kBadData naming the first line that is none.
std::vector<RankRequest> read_requests(const std::string& path) {
  constexpr RankLimits kLimits{.top = 100'000, .reasons = 100'000, .candidates = 100'000};
  std::vector<RankRequest> requests;
  LineReader lines(path);
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    requests.push_back(parse_rank_request(line, fmt::format("{}:{}", path, lines.line_number()), kLimits));
  }
  if (requests.empty()) fail(ExitCode::kBadData, "{}: no request in it; a line is {{\"user\": \"42\", \"top\": 5}}", path);
  return requests;
}

void print_json(const RankReply& reply, bool explain) { std::printf("%s\n", json_line(rank_reply_json(reply, explain)).c_str()); }

void print_text(const RankReply& reply, bool explain) {
  std::printf("user %s: served by %s (weights %s)\n", reply.user.c_str(), reply.decision.c_str(),
              joined(reply.weights, ", ", "{:.2f}").c_str());
  for (std::size_t place = 0; place < reply.items.size(); ++place) {
    const RankedItem& item = reply.items[place];
    std::printf("%2zu. %s  [%s]  score %.3f\n", place + 1, item.title.c_str(), item.id.c_str(), item.score);
    if (explain) std::printf("    %s\n", item.reason.c_str());
  }
}

void answer_file(Recommender& recommender, const std::vector<RankRequest>& requests, std::size_t batch, const std::string& path) {
  std::size_t unanswered = 0;
  for (std::size_t begin = 0; begin < requests.size(); begin += batch) {
    const auto together = std::span(requests).subspan(begin, std::min(batch, requests.size() - begin));
    const auto replies = recommender.rank(together);
    for (std::size_t i = 0; i < replies.size(); ++i) {
      unanswered += replies[i].status != RankStatus::kOk;
      print_json(replies[i], together[i].explain);
    }
    flush_output();
  }
  if (unanswered > 0) {
    fail(ExitCode::kBadData, "{}: {} of {} requests name a user or an item that is not in the data; their lines have an 'error'",
         path, unanswered, requests.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_recommend", [&] {
    const CommandLine line = read_command_line(recommend_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_recommend", 0);
    const bool many = line.has("users");
    if (many) {
      for (const char* other : {"user", "candidates", "top", "explain"}) {
        if (line.has(other))
          fail(ExitCode::kUsage, "--users and --{} exclude each other: a line of the file says what it wants", other);
      }
    } else if (!line.has("user")) {
      fail(ExitCode::kUsage, "--user or --users is needed: whom to rank items for");
    }
    std::vector<RankRequest> requests;
    if (many) {
      requests = read_requests(line.required("users"));
    } else {
      RankRequest& request = requests.emplace_back();
      request.user = line.required("user");
      request.candidates = split_list(line.text("candidates"));
      request.top = line.integer("top");
      request.explain = line.flag("explain");
    }
    const auto world = make_solo_collectives();
    const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
    const RunState state = load_run(session);
    Recommender recommender(
        session, state, {line.integer("pool"), line.integer("max-new-tokens"), parse_precision(line.text("reason-precision"))});
    if (many) {
      answer_file(recommender, requests, static_cast<std::size_t>(line.integer("batch")), line.text("users"));
      return 0;
    }
    const RankReply reply = recommender.rank(requests)[0];
    if (reply.status != RankStatus::kOk) fail(ExitCode::kBadData, "{}", reply.error);
    (line.flag("json") ? print_json : print_text)(reply, line.flag("explain"));
    flush_output();
    return 0;
  });
}
