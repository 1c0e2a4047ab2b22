#include "base/language.hpp"

#include <algorithm>
#include <cctype>

namespace sluice {
namespace {

bool is_same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == y;
  });
}

}  // namespace

language language_of(const locale_variables& set) {
  std::string_view name = set.lang;
  if (!set.lc_messages.empty()) name = set.lc_messages;
  if (!set.lc_all.empty()) name = set.lc_all;
  name = name.substr(0, name.find('@'));  // LANGUAGE_COUNTRY.ENCODING@VARIANT
  const std::size_t point = std::min(name.find('.'), name.size());
  const std::string_view encoding = name.substr(std::min(point + 1, name.size()));
  const std::string_view word = name.substr(0, std::min(name.find('_'), point));
  const bool utf8 =
      encoding.empty() || is_same_word(encoding, "utf-8") || is_same_word(encoding, "utf8");
  return is_same_word(word, "zh") && utf8 ? language::chinese : language::english;
}

}  // namespace sluice
