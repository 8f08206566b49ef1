#include "comm/watchdog.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(250);
constexpr double kLongestPoll = 1;               // a longer one means that this process was stopped itself
constexpr double kHeartbeat = 1, kSurely = 2.5;  // seconds between signs of life; without one for so long there is none
constexpr std::size_t kRecords = 1000, kMedianOf = 65;

/// What other ranks read of a rank: a small file, written anew and closed at every sign of life, so that network file systems pass it on.
struct Page {
  std::uint64_t heartbeat = 0, collective = 0;
  std::int64_t step = 0;
  double idle = 0, limit = 0;          ///< seconds without progress, and how many there may be
  std::int32_t waiting = 0, left = 0;  ///< in a collective; done in good order
  std::int32_t process = 0;
  char host[64] = {}, what[64] = {}, call[96] = {};
};

template <std::size_t N>
void put(char (&to)[N], const std::string& text) {
  std::strncpy(to, text.c_str(), N - 1);
  to[N - 1] = 0;
}

template <std::size_t N>
std::string get(const char (&from)[N]) {
  return {from, strnlen(from, N)};
}

/// False with errno when it cannot be written.
bool write_page(const std::string& path, const Page& page) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return false;
  const bool written = ::pwrite(file, &page, sizeof(page), 0) == static_cast<ssize_t>(sizeof(page));
  const int error = errno;
  ::close(file);
  errno = error;
  return written;
}

/// Leaves `page` as it was when the file cannot be read.
void read_page(const std::string& path, Page& page) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  Page fresh;
  if (::pread(file, &fresh, sizeof(fresh), 0) == static_cast<ssize_t>(sizeof(fresh))) page = fresh;
  ::close(file);
}

/// One entry of the flight record.
struct Flight {
  std::uint64_t number = 0;
  std::string group, call, what;
  std::uint64_t bytes = 0;
  std::int64_t step = 0;
  double begin = 0, end = -1;  ///< seconds since the start of the watchdog; -1: still in it

  static constexpr const char* kHead = "number\tbegin_s\tend_s\tgroup\tcall\tbytes\twhere\tstep\n";
  std::string line() const {
    return fmt::format("{}\t{:.6f}\t{}\t{}\t{}\t{}\t{}\t{}\n", number, begin, end < 0 ? "-" : fmt::format("{:.6f}", end), group,
                       call, bytes, what, step);
  }
};

}  // namespace

struct Watchdog::State {
  WatchdogOptions options;
  int rank = 0, ranks = 1;
  Clock::time_point start = Clock::now(), step_begin;
  bool in_steps = false;
  std::string stepping;           ///< the stage that the durations are of
  std::vector<double> durations;  ///< of the last steps, a ring
  std::size_t steps = 0;
  std::mutex mutex;  ///< of all below
  Page own;          ///< but for its heartbeat and idle time, which belong to the thread
  std::uint64_t progress = 0, calls = 0;
  std::array<Flight, kRecords> flights;
  std::ofstream all;  ///< open with keep_all
  bool stop = false;
  std::condition_variable wake;
  std::thread thread;

  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
  std::string page_path(int r) const { return (fs::path(options.folder) / fmt::format("rank-{}", r)).string(); }

  std::uint64_t enter(const std::string& group, const char* call, std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    const std::uint64_t number = ++calls;
    flights[number % kRecords] = {number, group, call, get(own.what), bytes, own.step, now(), -1};
    put(own.call, fmt::format("{} of {} bytes in group '{}'", call, bytes, group));
    own.collective = number;
    own.waiting = 1;
    ++progress;
    return number;
  }

  void leave(std::uint64_t number) {
    const std::lock_guard lock(mutex);
    Flight& flight = flights[number % kRecords];
    flight.end = now();
    if (all.is_open()) all << flight.line();
    own.waiting = 0;
    ++progress;
  }

  static std::string place(const Page& page) {
    return page.step > 0 ? fmt::format("{} step {}", get(page.what), page.step) : get(page.what);
  }
  static std::string call(const Page& page) { return fmt::format("collective #{} ({})", page.collective, get(page.call)); }

  /// Who keeps the others from going on; empty when this rank may be right to wait. `silent` is how long each has given no sign of life.
  std::string blame(const std::vector<Page>& pages, const std::vector<double>& silent, double enough) const {
    // Then nobody is missing: the network is slow.
    const bool together = std::all_of(pages.begin(), pages.end(), [&first = pages.front()](const Page& page) {
      return page.waiting != 0 && page.left == 0 && page.collective == first.collective && get(page.call) == get(first.call);
    });
    bool all_wait = true;
    for (std::size_t r = 0; r < pages.size(); ++r) {
      const Page& page = pages[r];
      if (page.left != 0) continue;
      const std::string who = fmt::format("rank {} (process {} on {})", r, page.process, get(page.host));
      if (silent[r] > enough)
        return fmt::format("{} is stopped or gone: no sign of life; it was last seen in {}, {} {}", who, place(page),
                           page.waiting != 0 ? "in" : "after", call(page));
      if (page.waiting == 0 && page.idle > page.limit)
        return fmt::format("{} runs on without getting anywhere for {:.0f} s in {}, after {}", who, page.idle, place(page),
                           call(page));
      all_wait = all_wait && page.waiting != 0 && page.idle > std::max(page.limit, together ? options.collective_limit_s : 0);
    }
    if (!all_wait) return "";
    std::string text = together ? "a collective that all ranks are in does not end:" : "all ranks wait for each other:";
    for (std::size_t r = 0; r < pages.size(); ++r)
      text += fmt::format("{} rank {} in {}, {}", r == 0 ? "" : ";", r, place(pages[r]), call(pages[r]));
    return text;
  }

  void write_flight_record() {
    std::ofstream out(fs::path(options.folder) / fmt::format("flight-{}.txt", rank));
    out << Flight::kHead;
    for (std::uint64_t n = calls > kRecords ? calls - kRecords + 1 : 1; n <= calls; ++n) out << flights[n % kRecords].line();
  }

  [[noreturn]] void alarm(const std::string& who, const Page& self) {
    // A disk that hangs must not keep the process.
    std::thread([] {
      std::this_thread::sleep_for(std::chrono::seconds(2));
      ::_exit(static_cast<int>(ExitCode::kPeerLost));
    }).detach();
    {
      const std::lock_guard lock(mutex);
      write_flight_record();
    }
    // A rank that was stopped may have gone on since its last sign of life: where it is waited for says how far it came.
    const std::string why = fmt::format("{}. Rank {} has waited {:.0f} s in {}, {} {}", who, rank, self.idle, place(self),
                                        self.waiting != 0 ? "in" : "after", call(self));
    std::fprintf(stderr, "thinkrec: error: %s. Flight records are in %s; the same command resumes from the last checkpoint\n",
                 why.c_str(), options.folder.c_str());
    std::fflush(stderr);
    if (options.on_alarm) options.on_alarm(get(self.what), self.step, why);
    ::_exit(static_cast<int>(ExitCode::kPeerLost));
  }

  void run() {
    std::vector<Page> pages(static_cast<std::size_t>(ranks));
    std::vector<double> silent(pages.size());
    std::uint64_t seen = 0, heartbeat = 0;
    double idle = 0, since_heartbeat = kHeartbeat;
    bool looking = false;
    Clock::time_point last = Clock::now();
    std::unique_lock lock(mutex);
    while (!stop) {
      wake.wait_for(lock, kPoll);
      const Clock::time_point time = Clock::now();
      const double passed = std::min(kLongestPoll, std::chrono::duration<double>(time - last).count());
      last = time;
      idle = progress == seen ? idle + passed : 0;
      seen = progress;
      Page self = own;
      lock.unlock();
      self.idle = idle;
      self.heartbeat = heartbeat;
      if ((since_heartbeat += passed) >= kHeartbeat) {
        self.heartbeat = ++heartbeat;
        write_page(page_path(rank), self);  // a full disk is no reason to stop
        since_heartbeat = 0;
      }
      // The others' pages are read only when there is something to ask.
      if (idle <= self.limit / 2) {
        looking = false;
      } else {
        for (std::size_t r = 0; r < pages.size(); ++r) {
          const std::uint64_t before = pages[r].heartbeat;
          r == static_cast<std::size_t>(rank) ? static_cast<void>(pages[r] = self)
                                              : read_page(page_path(static_cast<int>(r)), pages[r]);
          silent[r] = looking && pages[r].heartbeat == before ? silent[r] + passed : 0;
        }
        silent[static_cast<std::size_t>(rank)] = 0;
        looking = true;
        if (idle > self.limit) {
          if (const std::string who = blame(pages, silent, std::max(kSurely, self.limit / 2 - 1)); !who.empty()) alarm(who, self);
        }
      }
      lock.lock();
    }
  }

  double step_limit() const {
    if (durations.size() < 3) return std::max(options.step_limit_s, options.quiet_limit_s);
    std::vector<double> sorted = durations;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
    return std::max(options.step_limit_s, 10 * sorted[sorted.size() / 2]);
  }
};

/// Every call noted on the way in and out.
class WatchedCollectives final : public Collectives {
  template <class Call>
  auto noted(const char* name, std::size_t bytes, const Call& call) {
    const std::uint64_t number = dog_.state_->enter(name_, name, bytes);
    const struct Leave {
      Watchdog::State& state;
      std::uint64_t number;
      ~Leave() { state.leave(number); }
    } leave{*dog_.state_, number};
    return call();
  }

 public:
  WatchedCollectives(Watchdog& dog, Collectives* group, std::unique_ptr<Collectives> owned, std::string name)
      : dog_(dog), owned_(std::move(owned)), group_(owned_ ? *owned_ : *group), name_(std::move(name)) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void note_progress() override { dog_.note_progress(); }
  void barrier() override {
    noted("barrier", 0, [&] { group_.barrier(); });
  }
  void all_reduce_sum(std::span<float> values) override {
    noted("all_reduce_sum", values.size_bytes(), [&] { group_.all_reduce_sum(values); });
  }
  void all_reduce_sum(std::span<double> values) override {
    noted("all_reduce_sum", values.size_bytes(), [&] { group_.all_reduce_sum(values); });
  }
  void all_reduce_sum(std::span<std::int64_t> values) override {
    noted("all_reduce_sum", values.size_bytes(), [&] { group_.all_reduce_sum(values); });
  }
  void all_reduce_max(std::span<std::int64_t> values) override {
    noted("all_reduce_max", values.size_bytes(), [&] { group_.all_reduce_max(values); });
  }
  void broadcast(std::span<std::byte> bytes, int root) override {
    noted("broadcast", bytes.size(), [&] { group_.broadcast(bytes, root); });
  }
  std::vector<std::byte> all_gather(std::span<const std::byte> bytes) override {
    return noted("all_gather", bytes.size(), [&] { return group_.all_gather(bytes); });
  }
  std::unique_ptr<Collectives> split(int colour) override {
    auto part = noted("split", 0, [&] { return group_.split(colour); });
    return part ? dog_.watch(std::move(part), fmt::format("{}/{}", name_, colour)) : nullptr;
  }
  std::unique_ptr<Collectives> split_by_node() override {
    return dog_.watch(noted("split_by_node", 0, [&] { return group_.split_by_node(); }), name_ + "/node");
  }
  std::unique_ptr<SharedMemory> allocate_shared(std::size_t bytes) override {
    return noted("allocate_shared", bytes, [&] { return group_.allocate_shared(bytes); });
  }
  void all_reduce_sum_device(float* values, std::size_t count, void* stream) override {
    noted("all_reduce_sum_device", count * sizeof(float), [&] { group_.all_reduce_sum_device(values, count, stream); });
  }
  void broadcast_device(void* data, std::size_t bytes, int root, void* stream) override {
    noted("broadcast_device", bytes, [&] { group_.broadcast_device(data, bytes, root, stream); });
  }
  void all_gather_device(void* parts, std::size_t bytes_each, void* stream) override {
    noted("all_gather_device", bytes_each, [&] { group_.all_gather_device(parts, bytes_each, stream); });
  }

 private:
  Watchdog& dog_;
  std::unique_ptr<Collectives> owned_;
  Collectives& group_;
  std::string name_;
};

Watchdog::Watchdog(const WatchdogOptions& options, Collectives& world) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.options = options;
  state.rank = world.rank();
  state.ranks = world.size();
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) fail(ExitCode::kIo, "{}: cannot make the watchdog's folder: {}", options.folder, error.message());
  state.own.limit = options.quiet_limit_s;
  state.own.process = ::getpid();
  ::gethostname(state.own.host, sizeof(state.own.host) - 1);
  put(state.own.what, "start");
  put(state.own.call, "none");
  if (!write_page(state.page_path(state.rank), state.own)) {
    const int reason = errno;
    fail(ExitCode::kIo, "{}: the watchdog's page cannot be written: {}", state.page_path(state.rank), std::strerror(reason));
  }
  if (options.keep_all) {
    const std::string path = (fs::path(options.folder) / fmt::format("collectives-{}.txt", state.rank)).string();
    state.all.open(path, std::ios::trunc);
    if (!state.all) fail(ExitCode::kIo, "{}: the record of collectives cannot be written: {}", path, std::strerror(errno));
    state.all << Flight::kHead;
  }
  world.barrier();  // no rank reads what an earlier job has left
  state.thread = std::thread([&state] { state.run(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->own.left = 1;
  }
  state_->wake.notify_all();
  state_->thread.join();
  write_page(state_->page_path(state_->rank), state_->own);
}

void Watchdog::quiet(const std::string& what) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  put(state.own.what, what);
  state.own.step = 0;
  state.own.limit = std::max(state.options.quiet_limit_s, state.step_limit());
  ++state.progress;
  state.in_steps = false;
}

void Watchdog::step(const std::string& what, std::int64_t number) {
  State& state = *state_;
  const Clock::time_point time = Clock::now();
  const std::lock_guard lock(state.mutex);
  if (state.stepping != what) {  // another stage's steps take another time
    state.stepping = what;
    state.durations.clear();
    state.steps = 0;
  } else if (state.in_steps) {
    const double took = std::chrono::duration<double>(time - state.step_begin).count();
    if (state.durations.size() < kMedianOf) {
      state.durations.push_back(took);
    } else {
      state.durations[state.steps++ % kMedianOf] = took;
    }
  }
  state.in_steps = true;
  state.step_begin = time;
  put(state.own.what, what);
  state.own.step = number;
  state.own.limit = state.step_limit();
  ++state.progress;
}

void Watchdog::slow() {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  state.own.limit = std::max(state.options.quiet_limit_s, state.own.limit);
  ++state.progress;
}

void Watchdog::note_progress() {
  const std::lock_guard lock(state_->mutex);
  ++state_->progress;
}

std::unique_ptr<Collectives> Watchdog::watch(Collectives& group) {
  return std::make_unique<WatchedCollectives>(*this, &group, nullptr, "world");
}

std::unique_ptr<Collectives> Watchdog::watch(std::unique_ptr<Collectives> group, const std::string& name) {
  return std::make_unique<WatchedCollectives>(*this, nullptr, std::move(group), name);
}

}  // namespace thinkrec
