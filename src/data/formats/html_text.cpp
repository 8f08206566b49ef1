#include "data/formats/html_text.h"

#include <array>
#include <charconv>
#include <optional>

#include "data/formats/fields.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

/// HTML's names of U+00C0 to U+00FF.
constexpr std::array<std::string_view, 64> kLatin = {
    "Agrave", "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",
    "Euml",   "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde",
    "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",  "szlig",  "agrave",
    "aacute", "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",
    "igrave", "iacute", "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"};

struct Name {
  std::string_view name;
  std::uint32_t code;
};
constexpr Name kNames[] = {{"amp", '&'},       {"lt", '<'},       {"gt", '>'},       {"quot", '"'},     {"apos", '\''},
                           {"nbsp", ' '},      {"copy", 0xa9},    {"reg", 0xae},     {"ndash", 0x2013}, {"mdash", 0x2014},
                           {"lsquo", 0x2018},  {"rsquo", 0x2019}, {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bull", 0x2022},
                           {"hellip", 0x2026}, {"trade", 0x2122}};

/// The code point of a reference's inside, "eacute", "#233" or "#xe9"; none where it is no reference. Controls are spaces.
std::optional<std::uint32_t> referenced(std::string_view name) {
  if (!name.starts_with('#')) {
    for (const Name& known : kNames) {
      if (name == known.name) return known.code;
    }
    const auto found = std::find(kLatin.begin(), kLatin.end(), name);
    if (found == kLatin.end()) return std::nullopt;
    return 0xc0 + static_cast<std::uint32_t>(found - kLatin.begin());
  }
  name.remove_prefix(1);
  const bool hex = name.starts_with('x') || name.starts_with('X');
  if (hex) name.remove_prefix(1);
  std::uint32_t code = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, hex ? 16 : 10);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return std::nullopt;
  return code < 0x20 || (code >= 0x7f && code <= 0xa0) ? ' ' : code;
}

std::string resolve_references(std::string_view text) {
  constexpr std::size_t kLongestName = 9;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text[at] == '&' ? text.substr(0, at + kLongestName).find(';', at) : std::string_view::npos;
    const auto code = end != std::string_view::npos ? referenced(text.substr(at + 1, end - at - 1)) : std::nullopt;
    if (code) {
      append_utf8(out, *code);
      at = end + 1;
    } else {
      out += text[at++];
    }
  }
  return out;
}

bool begins_tag(char c) { return c == '/' || c == '!' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string without_tags(std::string_view text) {
  std::string out;
  const std::size_t last = text.rfind('>');  // behind it nothing is a tag, and need not be searched for one's end
  for (std::size_t at = 0; at < text.size();) {
    const bool tag = text[at] == '<' && last != text.npos && at < last && begins_tag(text[at + 1]);
    const std::size_t end = tag ? text.find('>', at) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += text[at++];
    } else {
      out += ' ';
      at = end + 1;
    }
  }
  return out;
}

}  // namespace

std::string plain_text(std::string_view html) {
  return tidy(resolve_references(resolve_references(html.find('<') == std::string_view::npos ? html : without_tags(html))));
}

}  // namespace thinkrec
