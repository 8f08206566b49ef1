// Templates that most files use. They are compiled once, in common_templates.cpp: anew in every file that reads or writes JSON they took the
// compiler a quarter of its time. nlohmann::detail's names are those of version 3.11; where another has others, leave them out.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace thinkrec::common_templates {
using Text = nlohmann::detail::iterator_input_adapter<std::string::const_iterator>;
using Letters = nlohmann::detail::iterator_input_adapter<const char*>;
}  // namespace thinkrec::common_templates

// `how` is extern, or nothing where they are compiled.
#define THINKREC_COMMON_TEMPLATES(how)                                                              \
  how template class nlohmann::basic_json<>;                                                        \
  how template class nlohmann::detail::serializer<nlohmann::json>;                                  \
  how template class nlohmann::detail::output_string_adapter<char, std::string>;                    \
  how template class nlohmann::detail::json_sax_dom_parser<nlohmann::json>;                         \
  how template class nlohmann::detail::json_sax_dom_callback_parser<nlohmann::json>;                \
  how template class nlohmann::detail::iter_impl<const nlohmann::json>;                             \
  how template class nlohmann::detail::lexer<nlohmann::json, thinkrec::common_templates::Text>;     \
  how template class nlohmann::detail::lexer<nlohmann::json, thinkrec::common_templates::Letters>;  \
  how template class nlohmann::detail::parser<nlohmann::json, thinkrec::common_templates::Text>;    \
  how template class nlohmann::detail::parser<nlohmann::json, thinkrec::common_templates::Letters>; \
  how template class std::vector<nlohmann::json>;                                                   \
  how template class std::map<std::string, nlohmann::json, std::less<>>;                            \
  how template class std::vector<std::string>;                                                      \
  how template class std::vector<int>;                                                              \
  how template class std::vector<long>;                                                             \
  how template class std::vector<float>;                                                            \
  how template class std::vector<double>;                                                           \
  how template class std::vector<unsigned char>;                                                    \
  how template class std::vector<bool>;

THINKREC_COMMON_TEMPLATES(extern)
