#pragma once

#include <string_view>

namespace sluice::openai {

/// Whether `text` is really a finish reason. Some relays write the null value of their programming
/// language as a string: "null", "None", "undefined", or only blanks. Pure.
bool is_finish_reason(std::string_view text);

}  // namespace sluice::openai
