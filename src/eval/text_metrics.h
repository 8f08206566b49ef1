#pragma once
// Metrics of a generated text against a reference: METEOR, BLEU-4 and ROUGE-L, each in [0, 1], of one pair of token lists.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/wordnet.h"

namespace thinkrec {

using Tokens = std::vector<std::string>;
using TokenSpan = std::span<const std::string>;

/// The tokens of all the metrics: runs of letters, numbers and underscores, and runs of anything else but white space
/// (\w+|[^\w\s]+), of the text in lower case. Classes and lower case are those of text/unicode.h; bytes that are no UTF-8 count as
/// U+FFFD.
Tokens metric_tokens(std::string_view text);

/// METEOR (Banerjee & Lavie 2005, with the parameters of Lavie & Agarwal 2007: alpha 0.9, beta 3, gamma 0.5), as NLTK computes it.
/// Words are matched one to one in three passes: the same word, the same porter_stem, and a synonym, looked up for the stem of the
/// candidate's word and compared with the stem of the reference's. Each pass goes through the candidate from its end and takes the
/// last reference word that is free. With m matches in c chunks (runs that are adjacent in both), P = m / candidate and
/// R = m / reference: P R / (alpha P + (1 - alpha) R) * (1 - gamma (c / m)^beta); 0 without a match. Tokens are in lower case.
double meteor(TokenSpan reference, TokenSpan candidate, const WordNet& wordnet);

/// Sentence BLEU (Papineni et al. 2002): brevity penalty times the geometric mean of the clipped precisions of 1- to 4-grams. A
/// precision without a match is 0.1 / n-grams (method 1 of Chen & Cherry 2014; a candidate too short for an n-gram counts as one), and
/// without a common word the score is 0.
double bleu4(TokenSpan reference, TokenSpan candidate);

/// ROUGE-L (Lin 2004) with beta 1: the harmonic mean of precision and recall of the longest common subsequence; 0 for an empty text.
/// O(reference * candidate).
double rouge_l(TokenSpan reference, TokenSpan candidate);

}  // namespace thinkrec
