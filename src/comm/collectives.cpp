#include "comm/collectives.h"

#include "core/error.h"

namespace thinkrec {
namespace {

[[noreturn]] void refuse_device(const char* call) {
  fail(ExitCode::kUsage, "{}: this group exchanges host memory only; GPU memory needs a group of make_nccl_collectives", call);
}

/// Empty where `body` came to its end; otherwise its Error as a text.
std::string failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return fmt::format("{}|{}", static_cast<int>(error.code()), error.what());
  }
  return {};
}

void throw_on_all(Collectives& group, std::string failure, int root) {
  broadcast_text(group, failure, root);
  if (!failure.empty()) throw Error(static_cast<ExitCode>(std::stoi(failure)), failure.substr(failure.find('|') + 1));
}

}  // namespace

void Collectives::all_reduce_sum_device(float*, std::size_t, void*) { refuse_device("all_reduce_sum_device"); }
void Collectives::broadcast_device(void*, std::size_t, int, void*) { refuse_device("broadcast_device"); }
void Collectives::all_gather_device(void*, std::size_t, void*) { refuse_device("all_gather_device"); }

void broadcast_text(Collectives& group, std::string& text, int root) {
  auto length = static_cast<std::int64_t>(text.size());
  group.broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  text.resize(static_cast<std::size_t>(length));
  if (length > 0) group.broadcast(std::as_writable_bytes(std::span(text)), root);
}

void on_rank_zero(Collectives& group, const std::function<void()>& body) {
  throw_on_all(group, group.rank() == 0 ? failure_of(body) : "", 0);
}

void on_each_rank(Collectives& group, const std::function<void()>& body) {
  std::string failure = failure_of(body);
  std::int64_t first = failure.empty() ? 0 : group.size() - group.rank();  // the largest belongs to the lowest rank
  group.all_reduce_max(std::span(&first, 1));
  if (first > 0) throw_on_all(group, std::move(failure), group.size() - static_cast<int>(first));
}

}  // namespace thinkrec
