#include "train/pack.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"

namespace thinkrec {
namespace {

/// Shorter beginnings are not worth a segment of their own.
constexpr std::int64_t kLeastShared = 16;

bool same_slot(const FeatureRef& a, const FeatureRef& b) { return a.kind == b.kind && a.index == b.index && a.item == b.item; }

/// What a token is, whatever the number of its slot: three-way comparison for an order in which rows that begin alike are neighbours.
int compare(const EncodedRow& a, const EncodedRow& b, std::int64_t at) {
  const std::int32_t left = a.token[static_cast<std::size_t>(at)], right = b.token[static_cast<std::size_t>(at)];
  if (left >= 0 || right >= 0) return left < right ? -1 : left > right ? 1 : 0;
  const FeatureRef &one = a.slots[static_cast<std::size_t>(-1 - left)], &two = b.slots[static_cast<std::size_t>(-1 - right)];
  if (same_slot(one, two)) return 0;
  return std::tuple(one.kind, one.index, one.item) < std::tuple(two.kind, two.index, two.item) ? -1 : 1;
}

/// Positions that two rows can share: those before the last token of either prompt, which is read for itself.
std::int64_t common(const RowToPack& a, const RowToPack& b) {
  const std::int64_t most = std::min({a.length, b.length, a.row->prompt_length, b.row->prompt_length}) - 1;
  std::int64_t length = 0;
  while (length < most && compare(*a.row, *b.row, length) == 0) ++length;
  return std::max<std::int64_t>(length, 0);
}

bool ahead(const RowToPack& a, const RowToPack& b) {
  const std::int64_t most = std::min(a.length, b.length);
  for (std::int64_t i = 0; i < most; ++i) {
    if (const int order = compare(*a.row, *b.row, i); order != 0) return order < 0;
  }
  return a.length < b.length;
}

/// A group in an order in which rows that begin alike are neighbours, and what each shares with the one before it.
struct Neighbours {
  std::vector<std::size_t> order;    // into the rows
  std::vector<std::int64_t> shared;  // [order], the first 0
};

Neighbours neighbours(std::span<const RowToPack> rows, std::vector<std::size_t> group) {
  std::stable_sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) { return ahead(rows[a], rows[b]); });
  Neighbours result{std::move(group), {0}};
  for (std::size_t i = 1; i < result.order.size(); ++i)
    result.shared.push_back(common(rows[result.order[i - 1]], rows[result.order[i]]));
  return result;
}

class Builder {
 public:
  Builder(std::span<const RowToPack> rows, RowPack& pack) : rows_(rows), pack_(pack) { pack_.parts.resize(rows.size()); }

  void add(const Neighbours& group) { branch(group, 0, group.order.size(), 0); }

 private:
  /// Rows first .. last-1 of the group, which share `depth` positions that are in the pack already.
  void branch(const Neighbours& group, std::size_t first, std::size_t last, std::int64_t depth) {
    if (last - first == 1) {
      const std::size_t row = group.order[first];
      segment(std::span(&group.order[first], 1), depth, rows_[row].length);
      return;
    }
    std::int64_t shared = *std::min_element(group.shared.begin() + static_cast<std::ptrdiff_t>(first) + 1,
                                            group.shared.begin() + static_cast<std::ptrdiff_t>(last));
    if (shared - depth < kLeastShared) shared = depth;
    std::int64_t own = -1;
    if (shared > depth) own = segment(std::span(group.order).subspan(first, last - first), depth, shared);
    for (std::size_t begin = first; begin < last;) {
      std::size_t end = begin + 1;
      while (end < last && group.shared[end] - shared >= kLeastShared) ++end;
      branch(group, begin, end, shared);
      begin = end;
    }
    if (own >= 0) pack_.packed.reach[static_cast<std::size_t>(own)] = pack_.packed.tokens();
  }

  /// Positions first .. last-1 of these rows; its number.
  std::int64_t segment(std::span<const std::size_t> of, std::int64_t first, std::int64_t last) {
    const std::size_t owner = *std::min_element(of.begin(), of.end());
    const EncodedRow& row = *rows_[owner].row;
    std::vector<std::int32_t> tokens(row.token.begin() + first, row.token.begin() + last);
    for (std::int32_t& token : tokens) {
      if (token >= 0) continue;
      pack_.slots.push_back(row.slots[static_cast<std::size_t>(-1 - token)]);
      token = -static_cast<std::int32_t>(pack_.slots.size());
    }
    const std::int64_t number = pack_.packed.rows();
    pack_.packed.add(tokens, rows_[owner].sample, static_cast<std::uint32_t>(first));
    pack_.segments.push_back({owner, first});
    for (const std::size_t row_of : of) pack_.parts[row_of].push_back(number);
    return number;
  }

  std::span<const RowToPack> rows_;
  RowPack& pack_;
};

}  // namespace

std::int64_t RowPack::place(std::size_t row, std::int64_t position) const {
  const auto& own = parts[row];
  auto part = own.rbegin();
  while (part != own.rend() && segments[static_cast<std::size_t>(*part)].first > position) ++part;
  THINKREC_CHECK(part != own.rend(), "row {} has no position {}", row, position);
  return packed.begin[static_cast<std::size_t>(*part)] + position - segments[static_cast<std::size_t>(*part)].first;
}

RowPack pack_rows(std::span<const RowToPack> rows) {
  std::vector<std::vector<std::size_t>> groups;
  std::map<std::int64_t, std::size_t> known;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto [found, fresh] = rows[i].group < 0 ? std::pair(known.end(), true) : known.emplace(rows[i].group, groups.size());
    if (fresh) {
      groups.push_back({i});
    } else {
      groups[found->second].push_back(i);
    }
  }
  RowPack pack;
  Builder builder(rows, pack);
  for (std::vector<std::size_t>& group : groups) builder.add(neighbours(rows, std::move(group)));
  return pack;
}

RowPack pack_row(const EncodedRow& row, std::int64_t length) {
  const RowToPack one{&row, length};
  return pack_rows(std::span(&one, 1));
}

std::int64_t shared_length(std::span<const RowToPack> group) {
  std::vector<RowToPack> rows(group.begin(), group.end());
  for (RowToPack& row : rows) row.group = 0;
  return pack_rows(rows).packed.tokens();
}

}  // namespace thinkrec
