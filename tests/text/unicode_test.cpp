#include "text/unicode.h"

#include <set>

#include "text/byte_alphabet.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace std::string_literals;
using namespace thinkrec::testing;

std::string repaired(const std::string& bytes) { return encode_utf8(decode_utf8(bytes)); }

TEST(Unicode, Classes) {
  std::size_t letters = 0, numbers = 0, spaces = 0, digits = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    letters += is_letter(c);
    numbers += is_number(c);
    spaces += is_space(c);
    digits += is_digit(c);
    ASSERT_LE(is_letter(c) + is_number(c) + is_space(c), 1) << std::hex << static_cast<std::uint32_t>(c);
  }
  // As many as tokenizers 0.23.3 has; make_unicode_tables.py asks it.
  EXPECT_EQ(letters, 141028U);
  EXPECT_EQ(numbers, 1911U);
  EXPECT_EQ(spaces, 25U);
  EXPECT_EQ(digits, 1924U);
  for (const char32_t c : U"azAZªµé\u4e00\U000323af"s) EXPECT_TRUE(is_letter(c)) << static_cast<std::uint32_t>(c);
  for (const char32_t c : U"09²½Ⅳ٣"s) EXPECT_TRUE(is_number(c) && is_digit(c)) << static_cast<std::uint32_t>(c);
  for (const char32_t c : U"\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2028\u3000"s)
    EXPECT_TRUE(is_space(c)) << static_cast<std::uint32_t>(c);
  for (const char32_t c : U"\0\u0301_\u200b\u180e\ufeff"s) {
    EXPECT_FALSE(is_letter(c) || is_number(c) || is_space(c) || is_digit(c)) << static_cast<std::uint32_t>(c);
  }
  EXPECT_TRUE(is_digit(0x16ff4));  // of Unicode 17, which the regular expressions do not know yet
  EXPECT_FALSE(is_number(0x16ff4));
}

TEST(Unicode, LowerCase) {
  const std::u32string upper = U"AZaz@[`{ÀÖ×ØÞßÿĀāŸŹǅϴΣЯẞΩⅫⓏＡ𐐀日İ", lower = U"azaz@[`{àö×øþßÿāāÿźǆθσяßωⅻⓩａ𐐨日i";
  for (std::size_t i = 0; i < upper.size(); ++i) EXPECT_EQ(lower_case(upper[i]), lower[i]) << i;
  std::size_t changed = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    changed += lower_case(c) != c;
    ASSERT_EQ(lower_case(lower_case(c)), lower_case(c)) << std::hex << static_cast<std::uint32_t>(c);
  }
  EXPECT_EQ(changed, 1433U);  // of Unicode 14
}

TEST(Unicode, DecodesEveryCodePointBack) {
  std::u32string all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xd800 || c > 0xdfff) all += c;
  }
  EXPECT_TRUE(decode_utf8(encode_utf8(all)) == all);
}

TEST(Unicode, OneReplacementForEachMaximalInvalidPart) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(repaired("a\x80z"), "a" + bad + "z");                              // a continuation without a beginning
  EXPECT_EQ(repaired("\xc3"), bad);                                            // cut off
  EXPECT_EQ(repaired("\xe4\xbd("), bad + "(");                                 // two of three bytes
  EXPECT_EQ(repaired("\xf0\x9f\x8e"), bad);                                    // three of four
  EXPECT_EQ(repaired("\xc0\xaf"), bad + bad);                                  // overlong
  EXPECT_EQ(repaired("\xe0\x80\x80"), bad + bad + bad);                        // overlong
  EXPECT_EQ(repaired("\xed\xa0\x80"), bad + bad + bad);                        // a surrogate
  EXPECT_EQ(repaired("\xf4\x90\x80\x80"), bad + bad + bad + bad);              // beyond U+10FFFF
  EXPECT_EQ(repaired("\xff\xfe"), bad + bad);                                  // never a byte of UTF-8
  EXPECT_EQ(repaired("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64"),  // the example of the standard, 3.9
            "a" + bad + bad + bad + "b" + bad + "c" + bad + bad + "d");
  EXPECT_EQ(decode_utf8("\0"s), U"\0"s);
}

TEST(Unicode, QuotesForMessages) {
  EXPECT_EQ(in_quotes("plain <|x|>"), "'plain <|x|>'");
  EXPECT_EQ(in_quotes("a\n\x1b\xc3\xa9"), "'a\\x0a\\x1b\\xc3\\xa9'");
  EXPECT_EQ(in_quotes(std::string(81, 'x')), "'" + std::string(80, 'x') + "...'");
}

TEST(ByteAlphabet, IsOneCharacterForEachByte) {
  std::set<char32_t> letters(byte_alphabet().begin(), byte_alphabet().end());
  EXPECT_EQ(letters.size(), 256U);
  EXPECT_EQ(byte_alphabet()[' '], U'\u0120');
  EXPECT_EQ(byte_alphabet()['\n'], U'\u010a');
  EXPECT_EQ(byte_alphabet()[0xad], U'\u0143');
  EXPECT_EQ(byte_alphabet()['a'], U'a');
  for (std::size_t b = 0; b < 256; ++b) {
    EXPECT_EQ(bytes_of_token(encode_utf8({&byte_alphabet()[b], 1})), std::string(1, static_cast<char>(b)));
  }
  EXPECT_EQ(bytes_of_token("Ġmovie"), " movie");
  EXPECT_EQ(bytes_of_token(""), "");
  for (const char* outside : {"a b", "\u0144", "\u00ad", "電", "\n"}) EXPECT_EQ(bytes_of_token(outside), std::nullopt) << outside;
}

TEST(ByteAlphabet, FindsTheFirstByteThatIsMissing) {
  std::unordered_set<std::string> tokens;
  for (const char32_t c : byte_alphabet()) tokens.insert(encode_utf8({&c, 1}));
  EXPECT_EQ(first_missing_byte(tokens), std::nullopt);
  tokens.erase(encode_utf8({&byte_alphabet()[0xc1], 1}));  // no byte of UTF-8
  tokens.erase(encode_utf8({&byte_alphabet()[0xf5], 1}));
  EXPECT_EQ(first_missing_byte(tokens), std::nullopt);
  tokens.erase("a");
  tokens.erase(encode_utf8({&byte_alphabet()[0xf4], 1}));
  EXPECT_EQ(first_missing_byte(tokens), std::uint8_t{'a'});
}

}  // namespace
}  // namespace thinkrec
