#pragma once
// Random numbers as a function of a key and a counter: no state, so that nothing depends on the number of ranks or on order.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace thinkrec {

/// One 64-bit key from several numbers (seed, step, sample, ...); their order matters.
std::uint64_t random_key(std::initializer_list<std::uint64_t> parts);
/// Normal with mean 0; values[i] depends on key and i alone.
void fill_normal(std::span<float> values, std::uint64_t key, double deviation);
/// 0 with probability `rate`, else 1 / (1 - rate); values[i] depends on key and i alone. 0 <= rate < 1.
void fill_dropout(std::span<float> values, std::uint64_t key, double rate);
/// A shuffle of 0 .. size-1.
std::vector<std::int64_t> random_permutation(std::int64_t size, std::uint64_t key);

}  // namespace thinkrec
