#pragma once
// Code points as the BERT normalizer and pre-tokenizer of Hugging Face `tokenizers` take them (made by make_bert_tables.py). Private
// to src/text.

#include <string>

namespace thinkrec {

bool is_bert_removed(char32_t c);      ///< clean_text takes it out: NUL, U+FFFD, control, format and private characters
bool is_bert_space(char32_t c);        ///< ends a word
bool is_bert_punctuation(char32_t c);  ///< is a word of its own
bool is_bert_chinese(char32_t c);      ///< handle_chinese_chars puts spaces around it
bool is_bert_accent(char32_t c);       ///< strip_accents takes it out: \p{Mn}

/// Appends the canonical decomposition (NFD) without accents of a code point, itself where there is none.
void append_bert_base(std::u32string& out, char32_t c);
/// Canonical_Combining_Class.
int combining_class(char32_t c);
/// The lower-case form where it is one code point; U+0130 becomes i.
char32_t bert_lower_case(char32_t c);

}  // namespace thinkrec
