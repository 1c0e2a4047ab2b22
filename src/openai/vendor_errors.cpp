#include "openai/vendor_errors.hpp"

#include <algorithm>
#include <array>

namespace sluice::openai {
namespace {

// The finish reasons of vendors that mean a reply broke off, in lower case.
constexpr std::array<std::string_view, 5> broken_off{
    "error",
    "abort",                         // vLLM, SGLang
    "aborted",                       //
    "network_error",                 // Zhipu
    "insufficient_system_resource",  // DeepSeek:
                                     // https://api-docs.deepseek.com/api/create-chat-completion
};

char folded(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  return c == '-' ? '_' : c;
}

bool same_word(std::string_view word, std::string_view lower_case) {
  return std::equal(word.begin(), word.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return folded(a) == b; });
}

}  // namespace

bool is_broken_off(std::string_view finish_reason) {
  return std::any_of(broken_off.begin(), broken_off.end(),
                     [&](std::string_view word) { return same_word(finish_reason, word); });
}

}  // namespace sluice::openai
