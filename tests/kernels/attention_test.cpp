#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::kThreadCounts;
using testing::random_values;
using Values = std::vector<float>;
using Indices = std::vector<std::int64_t>;

struct Result {
  Values out, log_sum_exp, grad_q, grad_k, grad_v;
};

/// Rows and heads, with random values for them.
struct Case {
  Indices begin, reach, query;
  std::int64_t heads = 2, kv_heads = 1, width = 64;
  Values q, k, v, grad_out;

  Case(const Indices& lengths, std::int64_t heads_wanted, std::int64_t kv_wanted, std::int64_t width_wanted)
      : begin{0}, heads(heads_wanted), kv_heads(kv_wanted), width(width_wanted) {
    for (const std::int64_t length : lengths) {
      begin.push_back(begin.back() + length);
      reach.push_back(begin.back());
    }
    fill();
  }
  /// Rows [row + 1, until) follow `row`.
  Case& follow(std::size_t row, std::size_t until) {
    reach[row] = begin[until];
    return *this;
  }
  Case& ask(const Indices& tokens) {
    query = tokens;
    fill();
    return *this;
  }
  std::int64_t queries() const { return query.empty() ? begin.back() : static_cast<std::int64_t>(query.size()); }
  void fill() {
    q = random_values(queries() * heads * width, 1);
    k = random_values(begin.back() * kv_heads * width, 2);
    v = random_values(begin.back() * kv_heads * width, 3);
    grad_out = random_values(queries() * heads * width, 4);
  }
  Attention shape() const {
    return {begin, reach, query, begin.empty() ? 0 : queries(), heads, kv_heads, width, q.data(), k.data(), v.data()};
  }

  Result empty() const {
    // What lies in the results before must not count.
    const auto none = [](std::size_t size) { return Values(size, std::numeric_limits<float>::quiet_NaN()); };
    return {none(q.size()), none(static_cast<std::size_t>(heads * queries())), none(q.size()), none(k.size()), none(v.size())};
  }
  Result run(int threads = 1) const {
    Result result = empty();
    attention(shape(), result.out.data(), result.log_sum_exp.data(), threads);
    attention_backward(shape(), result.out.data(), result.log_sum_exp.data(), grad_out.data(),
                       {result.grad_q.data(), result.grad_k.data(), result.grad_v.data()}, threads);
    return result;
  }
  Result reference() const {
    Result result = empty();
    attention_reference(shape(), result.out.data(), result.log_sum_exp.data());
    attention_backward_reference(shape(), grad_out.data(), {result.grad_q.data(), result.grad_k.data(), result.grad_v.data()});
    return result;
  }
};

void expect_same(const Result& got, const Result& wanted) {
  expect_same_bits(got.out, wanted.out);
  expect_same_bits(got.log_sum_exp, wanted.log_sum_exp);
  expect_same_bits(got.grad_q, wanted.grad_q);
  expect_same_bits(got.grad_k, wanted.grad_k);
  expect_same_bits(got.grad_v, wanted.grad_v);
}

/// Rows shorter and longer than a block, a tile, a piece of keys; trees of rows; some tokens asking; heads that fill a block unevenly.
std::vector<Case> cases() {
  std::vector<Case> found;
  found.push_back(Case({1}, 1, 1, 1));
  found.push_back(Case({1, 2, 17, 0, 33}, 4, 4, 6));
  found.push_back(Case({127, 130, 300, 5}, 6, 2, 64));
  found.push_back(Case({40, 3, 0, 1, 700}, 3, 1, 32));
  found.push_back(Case({90, 31}, 7, 1, 71));
  found.push_back(Case({20, 9}, 128, 1, 16));
  found.push_back(Case({45}, 2, 2, 160));
  found.push_back(Case({14, 28, 224, 225, 6, 96, 97}, 2, 1, 16));  // strips and pieces that are just full
  found.push_back(Case({0, 5, 0, 8, 3}, 2, 1, 16).follow(2, 5));   // a row without tokens that others follow
  found.push_back(Case({150, 70, 9, 0, 30, 260, 4}, 6, 2, 64).follow(0, 4).follow(5, 7));
  found.push_back(Case({230, 15, 60, 8, 3}, 4, 2, 24).follow(0, 5).follow(2, 4));  // a tree in a tree
  found.push_back(Case({150, 70, 9, 30}, 6, 2, 64).follow(0, 3).ask({10, 11, 149, 150, 150, 229}));
  found.push_back(Case({400, 20}, 2, 1, 64).ask({419}));
  return found;
}

TEST(Attention, MatchesReferenceWithItsGradients) {
  for (const Case& one : cases()) {
    const Result got = one.run(), wanted = one.reference();
    expect_close(got.out, wanted.out, 64, 1);
    expect_close(got.log_sum_exp, wanted.log_sum_exp, 16, 4);
    expect_close(got.grad_q, wanted.grad_q, 128, 1);
    expect_close(got.grad_k, wanted.grad_k, 128, 4);
    expect_close(got.grad_v, wanted.grad_v, 128, 4);
  }
}

TEST(Attention, SameBitsForAnyNumberOfThreads) {
  for (const Case& one : cases()) {
    const Result wanted = one.run();
    for (const int threads : kThreadCounts) expect_same(one.run(threads), wanted);
  }
}

/// Of the sums [heads, queries] those of queries [begin, end).
Values part_of_sums(const Values& sums, std::int64_t heads, std::int64_t begin, std::int64_t end) {
  const std::int64_t queries = static_cast<std::int64_t>(sums.size()) / heads;
  Values found;
  for (std::int64_t head = 0; head < heads; ++head)
    found.insert(found.end(), sums.begin() + head * queries + begin, sums.begin() + head * queries + end);
  return found;
}
Values part(const Values& all, std::int64_t line, std::int64_t begin, std::int64_t end) {
  return {all.begin() + begin * line, all.begin() + end * line};
}

TEST(Attention, BitsOfARowDependOnNoOtherRow) {
  const Case all({50, 301, 20}, 6, 2, 64);
  const Result together = all.run();
  for (std::size_t row = 0; row < 3; ++row) {
    const std::int64_t begin = all.begin[row], end = all.begin[row + 1];
    Case alone({end - begin}, 6, 2, 64);
    alone.q = part(all.q, 6 * 64, begin, end);
    alone.k = part(all.k, 2 * 64, begin, end);
    alone.v = part(all.v, 2 * 64, begin, end);
    alone.grad_out = part(all.grad_out, 6 * 64, begin, end);
    const Result got = alone.run();
    expect_same_bits(got.out, part(together.out, 6 * 64, begin, end));
    expect_same_bits(got.log_sum_exp, part_of_sums(together.log_sum_exp, 6, begin, end));
    expect_same_bits(got.grad_q, part(together.grad_q, 6 * 64, begin, end));
    expect_same_bits(got.grad_k, part(together.grad_k, 2 * 64, begin, end));
    expect_same_bits(got.grad_v, part(together.grad_v, 2 * 64, begin, end));
  }
}

TEST(Attention, ARowBehindAnotherHasTheBitsOfBothInOne) {
  for (const std::int64_t beginning : {190, 300}) {  // shorter and longer than a piece of keys
    const Case whole({500}, 6, 2, 64);
    Case apart({beginning, 500 - beginning}, 6, 2, 64);
    apart.follow(0, 2);
    expect_same(apart.run(), whole.run());
  }
}

TEST(Attention, RowsBehindOneBeginningHaveTheBitsOfEachAlone) {
  Case both({250, 70, 40}, 6, 2, 64);
  both.follow(0, 3);
  const Result together = both.run();
  for (const auto& [begin, end] : {std::pair{250, 320}, {320, 360}}) {
    Case alone({250, end - begin}, 6, 2, 64);
    alone.follow(0, 2);
    const auto own = [&](const Values& all, std::int64_t line) {
      Values found = part(all, line, 0, 250);
      const Values behind = part(all, line, begin, end);
      found.insert(found.end(), behind.begin(), behind.end());
      return found;
    };
    alone.q = own(both.q, 6 * 64);
    alone.k = own(both.k, 2 * 64);
    alone.v = own(both.v, 2 * 64);
    alone.grad_out = own(both.grad_out, 6 * 64);
    const Result got = alone.run();
    expect_same_bits(got.out, own(together.out, 6 * 64));
    expect_same_bits(got.grad_q, own(together.grad_q, 6 * 64));
  }
}

TEST(Attention, ATokenAskingAloneHasTheSameBits) {
  const Case all({50, 301, 20}, 6, 2, 64);
  const Result wanted = all.run();
  for (const std::int64_t token : {0, 49, 50, 290, 370}) {
    Case one = all;
    one.query = {token};
    one.q = part(all.q, 6 * 64, token, token + 1);
    one.grad_out = part(all.grad_out, 6 * 64, token, token + 1);
    const Result got = one.run();
    expect_same_bits(got.out, part(wanted.out, 6 * 64, token, token + 1));
    expect_same_bits(got.log_sum_exp, part_of_sums(wanted.log_sum_exp, 6, token, token + 1));
    expect_same_bits(got.grad_q, part(wanted.grad_q, 6 * 64, token, token + 1));
  }
}

TEST(Attention, NoTokenAskingLeavesNoGradient) {
  Case none({5, 3}, 2, 1, 8);
  Attention shape = none.shape();
  shape.queries = 0;
  Values grad_k(none.k.size(), 7), grad_v(none.v.size(), 7);
  attention(shape, nullptr, nullptr, 2);
  attention_backward(shape, nullptr, nullptr, nullptr, {nullptr, grad_k.data(), grad_v.data()}, 2);
  EXPECT_EQ(grad_k, Values(none.k.size(), 0));
  EXPECT_EQ(grad_v, Values(none.v.size(), 0));
}

TEST(Attention, LargeScoresStayFiniteAndNaNIsSeen) {
  Case large({3}, 1, 1, 1);
  large.q = {1e18f, 1e18f, 1e18f};
  large.k = {1e18f, -1e18f, 1e18f};
  large.v = {3, 5, 7};
  Result result = large.run();
  EXPECT_EQ(result.out, (Values{3, 3, 5}));
  large.k[1] = std::numeric_limits<float>::quiet_NaN();
  result = large.run();
  EXPECT_EQ(result.out[0], 3);  // it does not see the second key
  EXPECT_TRUE(std::isnan(result.out[1]) && std::isnan(result.out[2]));
  large.k[1] = 1;
  large.v[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(large.run().out[2]));
}

TEST(Attention, RefusesWhatCannotBe) {
  const auto refuses = [](const auto& change) {
    Case one({5, 3}, 4, 2, 8);
    change(one);
    Values out(one.q.size()), sums(64);
    expect_check_fails([&] { attention(one.shape(), out.data(), sums.data(), 1); });
  };
  refuses([](Case& one) { one.begin[0] = 1; });
  refuses([](Case& one) { one.begin = {0, 8, 5}; });
  refuses([](Case& one) { one.begin.clear(); });
  refuses([](Case& one) { one.reach.pop_back(); });
  refuses([](Case& one) { one.reach = {4, 8}; });  // less than the row
  refuses([](Case& one) { one.reach = {5, 9}; });  // more than there is
  refuses([](Case& one) {
    one.begin = {0, 2, 5, 8};
    one.reach = {5, 8, 8};  // more than the row that it follows
  });
  refuses([](Case& one) { one.kv_heads = 0; });
  refuses([](Case& one) { one.heads = 0; });
  refuses([](Case& one) { one.heads = 3; });
  refuses([](Case& one) { one.heads = 258; });
  refuses([](Case& one) { one.width = 0; });
  refuses([](Case& one) { one.query = {4, 2}; });
  refuses([](Case& one) { one.query = {2, 8}; });
  refuses([](Case& one) { one.query = {-1, 3}; });
  Case few({5, 3}, 2, 1, 8);
  Attention shape = few.shape();
  shape.queries = 7;
  expect_check_fails([&] { attention(shape, few.q.data(), few.k.data(), 1); });
  const Indices query = {1, 2};
  shape.query = query;
  expect_check_fails([&] { attention(shape, few.q.data(), few.k.data(), 1); });
  expect_check_fails([&] { attention(few.shape(), few.q.data(), few.k.data(), 0); });
  expect_check_fails([&] { attention_backward(few.shape(), nullptr, nullptr, nullptr, {}, 0); });
}

}  // namespace
}  // namespace thinkrec::kernels
