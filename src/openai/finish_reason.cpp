#include "openai/finish_reason.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace sluice::openai {

bool is_finish_reason(std::string_view text) {
  // KoboldCpp: https://github.com/PowerShell/AIShell/issues/350
  // Gemini: https://ai.google.dev/api/generate-content#FinishReason
  constexpr std::array<std::string_view, 8> none{
      "", "null", "none", "nil", "undefined", "nan", "unspecified", "finishreasonunspecified"};
  std::string letters;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (std::isspace(c) != 0 || c == '_' || c == '-') continue;
    letters += static_cast<char>(std::tolower(c));
  }
  return std::find(none.begin(), none.end(), letters) == none.end();
}

}  // namespace sluice::openai
