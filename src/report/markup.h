#pragma once
// Pieces of HTML. Everything that comes from a file passes through escape().

#include <string>
#include <string_view>
#include <vector>

namespace thinkrec::html {

/// Safe in text and in quoted attributes; control characters and bytes that are no UTF-8 become U+FFFD.
std::string escape(std::string_view text);

/// escape(), with leave to break the line after each slash.
std::string escape_path(std::string_view text);

/// <section> with a heading that can be linked to; `lead` is a sentence under the heading or empty.
std::string section(const std::string& id, const std::string& title, const std::string& lead, const std::string& body);

/// The one sentence in place of a part that the run does not have.
std::string missing(const std::string& sentence);

/// A box with a heading inside a section.
std::string card(const std::string& title, const std::string& body, const std::string& extra_class = "");

/// A table that scrolls sideways where it is too wide, with a note below it; `label` names it for screen readers.
std::string table(const std::string& css, const std::string& label, const std::string& head, const std::string& rows,
                  const std::string& note);

struct LegendEntry {
  std::string label;
  int color;
  std::string value;  ///< shown after the label; may be empty
  bool marks = false;
};
std::string legend(const std::vector<LegendEntry>& entries);

/// A horizontal bar from `left` to `right` (shares of the width, 0 to 1) in the color `color`.
std::string bar(double left, double right, int color);

/// The color class of the n-th thing ("c0" ... "c7").
std::string color_class(int n);
constexpr int kColors = 8;

/// The style sheet.
const char* style();

}  // namespace thinkrec::html
