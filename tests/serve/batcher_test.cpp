#include "serve/batcher.h"

#include <gtest/gtest.h>

#include "serve/fake_backend.h"

namespace thinkrec {
namespace {

using namespace std::chrono_literals;
using Kind = BatchOutcome::Kind;

RankRequest ask(const std::string& user) { return {"", user, {}, 1, false}; }
Batcher::Clock::time_point in(std::chrono::milliseconds wait) { return Batcher::Clock::now() + wait; }

/// The outcomes of users who ask at once.
std::vector<BatchOutcome> ask_all(Batcher& batcher, const std::vector<std::string>& users,
                                  std::chrono::milliseconds deadline = 20s) {
  std::vector<BatchOutcome> outcomes(users.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < users.size(); ++i)
    threads.emplace_back([&, i] { outcomes[i] = batcher.rank(ask(users[i]), in(deadline)); });
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

TEST(Batcher, PutsRequestsTogetherUpToMaxBatch) {
  FakeBackend backend;
  backend.delay_ms = 30;
  Batcher batcher(backend, {4, 200ms, 64});
  std::vector<std::string> users;
  for (int i = 0; i < 12; ++i) users.push_back("u" + std::to_string(i));
  const auto outcomes = ask_all(batcher, users);
  for (std::size_t i = 0; i < users.size(); ++i) {
    ASSERT_EQ(outcomes[i].kind, Kind::kReplied) << outcomes[i].error;
    EXPECT_EQ(outcomes[i].reply.user, users[i]);
  }
  EXPECT_EQ(backend.largest(), 4u);
  EXPECT_LE(backend.calls(), 6u);
}

TEST(Batcher, OnlyTheRequestToBlameFails) {
  FakeBackend backend;
  Batcher batcher(backend, {3, 5s, 64});
  const auto outcomes = ask_all(batcher, {"a", "throw", "b"});
  EXPECT_EQ(outcomes[0].kind, Kind::kReplied);
  EXPECT_EQ(outcomes[1].kind, Kind::kFailed);
  EXPECT_EQ(outcomes[1].error, "a tensor is not finite");
  EXPECT_EQ(outcomes[2].kind, Kind::kReplied);
}

TEST(Batcher, AReplyForAnotherIsNoReply) {
  FakeBackend backend;
  Batcher batcher(backend, {});
  EXPECT_EQ(batcher.rank(ask("swapped"), in(5s)).kind, Kind::kFailed);
}

TEST(Batcher, QueueFullAndTooLate) {
  FakeBackend backend;
  Batcher batcher(backend, {1, 0ms, 2});
  std::thread busy([&] { batcher.rank(ask("slow-600"), in(20s)); });
  while (backend.calls() == 0) std::this_thread::sleep_for(1ms);
  std::vector<BatchOutcome> late;
  std::thread waiting([&] { late = ask_all(batcher, {"late1", "late2"}, 300ms); });
  while (batcher.queued() < 2) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(batcher.rank(ask("third"), in(20s)).kind, Kind::kQueueFull);
  waiting.join();
  EXPECT_EQ(late[0].kind, Kind::kTooLate);
  EXPECT_EQ(late[1].kind, Kind::kTooLate);
  EXPECT_EQ(batcher.queued(), 0u);  // there is room again
  EXPECT_EQ(batcher.rank(ask("after"), in(20s)).kind, Kind::kReplied);
  busy.join();
  EXPECT_EQ(backend.calls(), 2u);  // the late ones were never ranked
}

TEST(Batcher, WhatNobodyWaitsForIsNotRanked) {
  FakeBackend backend;
  Batcher batcher(backend, {1, 0ms, 4});
  std::thread busy([&] { batcher.rank(ask("slow-800"), in(20s)); });
  while (backend.calls() == 0) std::this_thread::sleep_for(1ms);
  std::atomic<bool> closed = false;
  std::thread closing([&] {
    while (batcher.queued() == 0) std::this_thread::sleep_for(1ms);
    closed = true;
  });
  EXPECT_EQ(batcher.rank(ask("left"), in(20s), [&] { return closed.load(); }).kind, Kind::kGone);
  EXPECT_EQ(batcher.queued(), 0u);
  EXPECT_EQ(batcher.rank(ask("stays"), in(20s), [] { return false; }).kind, Kind::kReplied);
  busy.join();
  closing.join();
  EXPECT_EQ(backend.calls(), 2u);
}

TEST(Batcher, StopRanksWhatIsQueued) {
  FakeBackend backend;
  backend.delay_ms = 100;
  Batcher batcher(backend, {1, 0ms, 8});
  std::vector<BatchOutcome> outcomes;
  std::thread clients([&] { outcomes = ask_all(batcher, {"a", "b", "c"}); });
  while (backend.calls() + batcher.queued() < 3) std::this_thread::sleep_for(1ms);
  batcher.stop();
  clients.join();
  for (const BatchOutcome& outcome : outcomes) EXPECT_EQ(outcome.kind, Kind::kReplied);
  EXPECT_EQ(batcher.rank(ask("d"), in(1s)).kind, Kind::kStopping);
}

}  // namespace
}  // namespace thinkrec
