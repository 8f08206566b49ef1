#include "train/units.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "experts/balance.h"

namespace thinkrec {
namespace {

std::int64_t tokens_of(std::span<const RowToPack> rows, std::span<const std::int64_t> places) {
  std::vector<RowToPack> together;
  for (const std::int64_t place : places) together.push_back(rows[static_cast<std::size_t>(place)]);
  return together.size() == 1 ? together[0].length : shared_length(together);
}

/// A unit split in two, of which one goes to another rank.
struct Handover {
  std::size_t unit;  ///< of the longest part
  Unit stays, goes;
  std::int64_t longest;  ///< of the two parts then
};

/// The one that leaves the longer of two parts shortest.
std::optional<Handover> best_handover(std::span<const Unit> longest, std::int64_t held, std::int64_t shortest, std::span<const RowToPack> rows) {
  std::optional<Handover> best;
  for (std::size_t u = 0; u < longest.size(); ++u) {
    const std::span<const std::int64_t> places(longest[u].places);
    for (std::size_t cut = 1; cut < places.size(); ++cut) {
      const auto unit_of = [&](std::span<const std::int64_t> own) { return Unit{{own.begin(), own.end()}, tokens_of(rows, own)}; };
      Unit parts[] = {unit_of(places.first(cut)), unit_of(places.subspan(cut))};
      for (const int goes : {0, 1}) {
        const std::int64_t then = std::max(held - longest[u].tokens + parts[1 - goes].tokens, shortest + parts[goes].tokens);
        if (!best || then < best->longest) best = {u, parts[1 - goes], parts[goes], then};
      }
    }
  }
  return best;
}

}  // namespace

std::vector<std::int64_t> places_of(std::span<const Unit> units) {
  std::vector<std::int64_t> places;
  for (const Unit& unit : units) places.insert(places.end(), unit.places.begin(), unit.places.end());
  return places;
}

std::vector<Unit> make_units(std::span<const RowToPack> rows, std::int64_t limit) {
  std::vector<Unit> made;
  std::map<std::int64_t, std::size_t> open;  // of a group: the unit that may still grow
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i);
    const std::int64_t group = rows[i].group;
    if (const auto found = open.find(group); group >= 0 && found != open.end()) {
      Unit& unit = made[found->second];
      std::vector<std::int64_t> together = unit.places;
      together.push_back(place);
      const std::int64_t tokens = tokens_of(rows, together);
      if (tokens < unit.tokens + rows[i].length && tokens <= limit) {
        unit = {std::move(together), tokens};
        continue;
      }
    }
    open[group] = made.size();
    made.push_back({{place}, rows[i].length});
  }
  return made;
}

std::vector<std::vector<Unit>> share_units(std::vector<Unit> units, std::span<const RowToPack> rows, int ranks) {
  std::vector<std::int64_t> tokens;
  for (const Unit& unit : units) tokens.push_back(unit.tokens);
  const std::vector<int> owner = balance_rows(tokens, ranks);
  std::vector<std::vector<Unit>> parts(static_cast<std::size_t>(ranks));
  std::vector<std::int64_t> held(parts.size());
  for (std::size_t i = 0; i < units.size(); ++i) {
    const auto rank = static_cast<std::size_t>(owner[i]);
    held[rank] += units[i].tokens;
    parts[rank].push_back(std::move(units[i]));
  }
  for (;;) {
    const auto [least, most] = std::minmax_element(held.begin(), held.end());
    std::vector<Unit>& longest = parts[static_cast<std::size_t>(most - held.begin())];
    std::optional<Handover> split = best_handover(longest, *most, *least, rows);
    if (!split || split->longest * 100 >= *most * 99) return parts;
    *most += split->stays.tokens - longest[split->unit].tokens;
    *least += split->goes.tokens;
    longest[split->unit] = std::move(split->stays);
    parts[static_cast<std::size_t>(least - held.begin())].push_back(std::move(split->goes));
  }
}

}  // namespace thinkrec
