#include "text/merge_table.h"

#include <algorithm>

namespace thinkrec {

// A heap of the pairs that could merge, over a doubly linked list of tokens. A merge makes pairs in the heap out of date; they
// are known by their tokens no longer being the ones at their place, since tokens only grow.
std::size_t MergeTable::apply(std::span<std::int32_t> ids, MergeScratch& scratch) const {
  if (ids.size() < 2) return ids.size();
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto count = static_cast<std::int32_t>(ids.size());
  symbols.resize(ids.size());
  heap.clear();
  for (std::int32_t at = 0; at < count; ++at) {
    symbols[static_cast<std::size_t>(at)] = {ids[static_cast<std::size_t>(at)], at - 1, at + 1 < count ? at + 1 : -1};
  }
  const auto symbol = [&](std::int32_t at) -> MergeScratch::Symbol& { return symbols[static_cast<std::size_t>(at)]; };
  using Candidate = MergeScratch::Candidate;
  const auto goes_later = [](const Candidate& a, const Candidate& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
  // Appends the pair that begins at `at` to the heap's memory, if it has a merge.
  const auto offer = [&](std::int32_t at) {
    if (at < 0 || symbol(at).next < 0) return false;
    const std::int32_t left = symbol(at).id, right = symbol(symbol(at).next).id;
    const Merge* merge = find(left, right);
    if (merge != nullptr) heap.push_back({merge->rank, at, left, right});
    return merge != nullptr;
  };
  for (std::int32_t at = 0; at < count; ++at) offer(at);
  std::make_heap(heap.begin(), heap.end(), goes_later);
  while (!heap.empty()) {
    const Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), goes_later);
    heap.pop_back();
    auto& left = symbol(best.at);
    if (left.id != best.left || left.next < 0 || symbol(left.next).id != best.right) continue;  // out of date
    auto& right = symbol(left.next);
    left.id = find(best.left, best.right)->result;
    left.next = right.next;
    right.id = -1;  // no token: candidates that begin here are out of date
    if (left.next >= 0) symbol(left.next).previous = best.at;
    if (offer(left.previous)) std::push_heap(heap.begin(), heap.end(), goes_later);
    if (offer(best.at)) std::push_heap(heap.begin(), heap.end(), goes_later);
  }
  std::size_t left_over = 0;
  for (std::int32_t at = 0; at >= 0; at = symbol(at).next) ids[left_over++] = symbol(at).id;
  return left_over;
}

}  // namespace thinkrec
