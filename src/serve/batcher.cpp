#include "serve/batcher.h"

#include "core/error.h"

namespace thinkrec {

Batcher::Batcher(RankingBackend& backend, const BatcherConfig& config, std::function<void(std::size_t, double)> ranked)
    : backend_(backend), config_(config), ranked_(std::move(ranked)) {
  THINKREC_CHECK(config_.max_batch >= 1 && config_.queue >= 1, "batches of {}, a queue of {}", config_.max_batch, config_.queue);
  worker_ = std::thread([this] { work(); });
}

Batcher::~Batcher() { stop(); }

void Batcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_all();
  if (worker_.joinable()) worker_.join();
}

std::size_t Batcher::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

BatchOutcome Batcher::rank(RankRequest request, Clock::time_point deadline, const std::function<bool()>& gone) {
  const auto job = std::make_shared<Job>();
  job->request = std::move(request);
  job->deadline = deadline;
  std::unique_lock lock(mutex_);
  if (stopping_) return {BatchOutcome::kStopping};
  if (queue_.size() >= config_.queue) return {BatchOutcome::kQueueFull};
  queue_.push_back(job);
  arrived_.notify_one();
  bool left = false;
  while (!left && Clock::now() < deadline) {
    const auto look = gone ? std::min(deadline, Clock::now() + std::chrono::milliseconds(100)) : deadline;
    if (finished_.wait_until(lock, look, [&] { return job->done; })) return std::move(job->outcome);
    left = gone && gone();
  }
  std::erase(queue_, job);  // makes room at once; a batch that already holds it finishes without a reader
  return {left ? BatchOutcome::kGone : BatchOutcome::kTooLate};
}

void Batcher::work() {
  for (Jobs jobs = next_batch(); !jobs.empty(); jobs = next_batch()) serve(jobs);
}

Batcher::Jobs Batcher::next_batch() {
  std::unique_lock lock(mutex_);
  Jobs jobs;
  while (jobs.empty()) {
    arrived_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return jobs;
    arrived_.wait_for(lock, config_.max_wait, [&] { return stopping_ || queue_.size() >= config_.max_batch; });
    for (const auto now = Clock::now(); !queue_.empty() && jobs.size() < config_.max_batch; queue_.pop_front()) {
      if (queue_.front()->deadline > now) jobs.push_back(std::move(queue_.front()));  // of the others nobody waits any more
    }
  }
  return jobs;
}

std::vector<BatchOutcome> Batcher::call(std::span<const RankRequest> requests) {
  std::vector<BatchOutcome> outcomes(requests.size());
  const auto all = [&](const std::string& error) {
    for (BatchOutcome& outcome : outcomes) outcome = {BatchOutcome::kFailed, {}, error};
  };
  const auto begin = Clock::now();
  try {
    std::vector<RankReply> replies = backend_.rank(requests);
    if (replies.size() != requests.size()) {
      all(fmt::format("{} replies to {} requests", replies.size(), requests.size()));
    } else {
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (replies[i].user == requests[i].user && replies[i].id == requests[i].id)
          outcomes[i] = {BatchOutcome::kReplied, std::move(replies[i])};
        else
          outcomes[i] = {BatchOutcome::kFailed, {}, "the reply is another request's"};
      }
    }
  } catch (const std::exception& error) {
    all(error.what());
  } catch (...) {
    all("an exception of an unknown type");
  }
  if (ranked_) ranked_(requests.size(), std::chrono::duration<double>(Clock::now() - begin).count());
  return outcomes;
}

void Batcher::serve(const Jobs& jobs) {
  std::vector<RankRequest> requests;
  for (const auto& job : jobs) requests.push_back(job->request);
  std::vector<BatchOutcome> outcomes = call(requests);
  const auto failed = [](const BatchOutcome& outcome) { return outcome.kind == BatchOutcome::kFailed; };
  if (jobs.size() > 1 && std::all_of(outcomes.begin(), outcomes.end(), failed)) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i]->deadline > Clock::now()) outcomes[i] = std::move(call(std::span(&requests[i], 1))[0]);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      jobs[i]->outcome = std::move(outcomes[i]);
      jobs[i]->done = true;
    }
  }
  finished_.notify_all();
}

}  // namespace thinkrec
