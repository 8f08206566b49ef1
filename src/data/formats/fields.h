#pragma once
// What the formats share about files, columns and texts.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/csv.h"

namespace thinkrec {

/// folder/name or folder/name.gz, whichever is there (the plain one first); kNoInput naming both otherwise.
std::string find_plain_or_gzip(const std::string& folder, const std::string& name);

/// SHA-256 over the names and bytes of the files, in this order.
std::string hash_files(const std::vector<std::string>& paths);

/// The column called `given`, or `fallback` when that is empty. kBadData lists the columns there are and names the option to set.
/// `typed`: headers carry RecBole's types, and "title" finds "title:token_seq".
std::size_t find_column(const CsvReader& file, const std::string& given, const std::string& fallback, const char* option,
                        bool typed = false);
/// The same for a column that may be missing, unless it was asked for by `given`.
std::optional<std::size_t> find_optional_column(const CsvReader& file, const std::string& given, const std::string& fallback,
                                                const char* option, bool typed = false);

/// "movie_title:token_seq" -> "movie_title".
std::string_view without_type(std::string_view header);

/// An integer, or a real number that is rounded down ("964982703.0"). kBadData with file:line.
std::int64_t read_timestamp(const CsvReader& file, std::size_t column);

/// A field as UTF-8 text without spaces around it and without line breaks; kBadData with file:line when it is not UTF-8.
std::string read_text(const CsvReader& file, std::size_t column);

/// As it is when it is UTF-8, else each byte as its Latin-1 character.
std::string from_latin1(std::string_view text);

/// Single spaces for every run of spaces and line breaks, none at the ends.
std::string tidy(std::string_view text);

/// "Heat (1995)" -> "Heat"; other titles stay as they are.
std::string strip_year(const std::string& title);

/// A list separated by commas or '|' (or by spaces) -> at most 10 different keywords joined by ", ". MovieLens' "(no genres
/// listed)" and the empty text give the empty text.
enum class KeywordSeparator { kCommaOrBar, kSpace };
std::string normalize_keywords(std::string_view text, KeywordSeparator separator = KeywordSeparator::kCommaOrBar);

/// "Category: <category>. Description: <description>", either left out where it is empty, tidied and cut after 100 words.
std::string item_profile(std::string_view category, std::string_view description);

}  // namespace thinkrec
