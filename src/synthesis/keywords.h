#pragma once
// Keywords for items from a language model (paper, section 3.2.1 and appendix B.1).

#include <functional>

#include "data/dataset.h"
#include "synthesis/rounds.h"

namespace thinkrec {

struct KeywordConfig {
  std::int64_t items = 0;        ///< asked about at most, 0: all that need it
  std::int64_t max_tokens = 64;  ///< of a reply
  bool again = false;            ///< also for items that have keywords
};

struct KeywordReport : SynthesisCounts {
  std::int64_t had = 0;     ///< items with keywords before
  std::int64_t made = 0;    ///< items whose keywords are from this run
  std::int64_t failed = 0;  ///< items whose reply held no keyword
};

/// Gives keywords to the items that have none (`again`: to all). An item that gets none stays as it is and is listed in `failures`; the next
/// run asks again. `saved` is called after each round, with data set and failures in a state worth saving. Errors of the backend, and
/// Reachability.
KeywordReport synthesize_keywords(Dataset& dataset, ChatBackend& backend, Journal& journal, FailureList& failures,
                                  const KeywordConfig& config, const std::function<void(const KeywordReport&)>& saved);

}  // namespace thinkrec
