#pragma once
// Text as web shops export it.

#include <string>
#include <string_view>

namespace thinkrec {

/// UTF-8 with HTML's tags left out and its character references resolved ("Q&amp;A" -> "Q&A", also where they were written
/// twice over), then tidied. What is no tag or reference stays: "<3", "AT&T".
std::string plain_text(std::string_view html);

}  // namespace thinkrec
