#include "comm/collectives.h"

#include "core/error.h"

namespace thinkrec {
namespace {

[[noreturn]] void refuse_device(const char* call) {
  fail(ExitCode::kUsage, "{}: this group exchanges host memory only; GPU memory needs a group of make_nccl_collectives", call);
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
  std::string failure;
  if (group.rank() == 0) {
    try {
      body();
    } catch (const Error& error) {
      failure = fmt::format("{}|{}", static_cast<int>(error.code()), error.what());
    }
  }
  broadcast_text(group, failure, 0);
  if (!failure.empty()) throw Error(static_cast<ExitCode>(std::stoi(failure)), failure.substr(failure.find('|') + 1));
}

}  // namespace thinkrec
