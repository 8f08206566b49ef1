#pragma once
// Porter's stemmer, as METEOR uses it.

#include <string>
#include <string_view>

namespace thinkrec {

/// The stem of a lower-case word in UTF-8: Porter, "An algorithm for suffix stripping" (1980), with the changes that NLTK makes by
/// default (mode NLTK_EXTENSIONS): a dozen irregular words, words of one or two characters as they are, -ies and -ied after one
/// letter become -ie, y becomes i after any consonant but the first letter, and the rules bli, fulli and logi.
std::string porter_stem(std::string_view word);

}  // namespace thinkrec
