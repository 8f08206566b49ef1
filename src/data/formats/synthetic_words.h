#pragma once
// The vocabulary of synthetic data sets.

#include <array>
#include <span>
#include <string_view>

namespace thinkrec {

inline constexpr std::size_t kGenres = 12;
inline constexpr std::size_t kTraits = 4;

struct Genre {
  std::array<std::string_view, 4> keywords;  ///< the first names the genre
  std::array<std::string_view, 6> nouns;     ///< in titles
};

struct Words {
  std::array<Genre, kGenres> genres;
  std::array<std::array<std::string_view, 2>, kTraits> traits;  ///< keywords of a trait's low and high end
  std::span<const std::string_view> adjectives, names;
  std::span<const std::string_view> places;    ///< of items and users; empty: there is one place only, unnamed
  std::span<const std::string_view> patterns;  ///< titles: @ * ~ ^ # are an adjective, noun, name, place, number
};

const Words& book_words();
const Words& business_words();

}  // namespace thinkrec
