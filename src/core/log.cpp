#include "core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>

namespace thinkrec {
namespace {

struct Log {
  std::shared_ptr<spdlog::logger> logger;
  std::string prefix;
};

std::shared_ptr<const Log> make_log(const std::string& program, int rank) {
  auto logger = std::make_shared<spdlog::logger>(program, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%H:%M:%S %l %v");
  logger->set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
  logger->flush_on(spdlog::level::info);
  return std::make_shared<const Log>(Log{std::move(logger), rank == 0 ? "" : fmt::format("[rank {}] ", rank)});
}

std::mutex log_mutex;
std::atomic<bool> live_line{false};

std::shared_ptr<const Log>& current_log() {
  static std::shared_ptr<const Log> log = make_log("thinkrec", 0);
  return log;
}

}  // namespace

void init_log(const std::string& program, int rank) {
  const std::lock_guard lock(log_mutex);
  current_log() = make_log(program, rank);
}

void set_live_line(bool open) { live_line = open; }

void write_log(bool warning, const std::string& message) {
  const std::lock_guard lock(log_mutex);
  const auto& log = current_log();
  const auto level = warning ? spdlog::level::warn : spdlog::level::info;
  if (!log->logger->should_log(level)) return;
  if (live_line.exchange(false)) {
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
  }
  log->logger->log(level, spdlog::string_view_t(log->prefix + message));
}

}  // namespace thinkrec
