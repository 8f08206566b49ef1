#pragma once
// The few settings of a sentencepiece model that the library keeps to itself. Private to src/text.

#include <string_view>

namespace thinkrec {

struct SentencePieceSettings {
  enum Type : int { kUnigram = 1, kBpe = 2 };
  int type = kUnigram;        ///< TrainerSpec.model_type
  bool space_behind = false;  ///< TrainerSpec.treat_whitespace_as_suffix
  bool normalises = false;    ///< NormalizerSpec.precompiled_charsmap is there: characters become others
};

/// Reads the settings out of a serialised ModelProto (sentencepiece_model.proto) that the library has accepted. What is not there
/// has the value above; bytes that are no such message end the reading.
SentencePieceSettings read_sentencepiece_settings(std::string_view model);

}  // namespace thinkrec
