#include "report/markup.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace thinkrec::html {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xC2 && first < 0xE0 ? 2
                             : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  return length;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_length(text, at);
    const char c = text[at];
    if (length > 1) {
      result += text.substr(at, length);
    } else if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      result += kReplacement;
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else {
      result += c;
    }
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

std::string escape_path(std::string_view text) {
  std::string result;
  for (const char c : escape(text)) {
    result += c;
    if (c == '/') result += "<wbr>";
  }
  return result;
}

std::string table(const std::string& css, const std::string& label, const std::string& head, const std::string& rows,
                  const std::string& note) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"{}\" aria-label=\"{}\">\n{}<tbody>\n{}</tbody></table></div>\n{}", css,
      label, head.empty() ? "" : fmt::format("<thead><tr>{}</tr></thead>\n", head), rows,
      note.empty() ? "" : fmt::format("<p class=\"note\">{}</p>\n", note));
}

std::string section(const std::string& id, const std::string& title, const std::string& lead, const std::string& body) {
  const auto sentence = lead.empty() ? "" : fmt::format("<p class=\"lead\">{}</p>\n", lead);
  return fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}{3}</section>\n", id,
                     title, sentence, body);
}

std::string missing(const std::string& sentence) { return fmt::format("<p class=\"missing\">{}</p>\n", sentence); }

std::string card(const std::string& title, const std::string& body, const std::string& extra_class) {
  const auto heading = title.empty() ? "" : fmt::format("<h3>{}</h3>\n", title);
  return fmt::format("<div class=\"card{}{}\">\n{}{}</div>\n", extra_class.empty() ? "" : " ", extra_class, heading, body);
}

std::string legend(const std::vector<LegendEntry>& entries) {
  std::string result = "<ul class=\"legend\">";
  for (const auto& entry : entries) {
    const auto value = entry.value.empty() ? "" : fmt::format(" <b>{}</b>", entry.value);
    result += fmt::format("<li><i class=\"{}{}\"></i>{}{}</li>", color_class(entry.color), entry.marks ? " dot" : "",
                          escape(entry.label), value);
  }
  return result + "</ul>\n";
}

std::string bar(double left, double right, int color) {
  left = std::clamp(left, 0.0, 1.0);
  right = std::clamp(right, left, 1.0);
  return fmt::format("<div class=\"bar\"><i class=\"{}\" style=\"left:{:.2f}%;width:{:.2f}%\"></i></div>", color_class(color),
                     100 * left, 100 * (right - left));
}

std::string color_class(int n) { return fmt::format("c{}", n % kColors); }

}  // namespace thinkrec::html
