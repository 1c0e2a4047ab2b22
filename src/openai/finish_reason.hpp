#pragma once

#include <string_view>

namespace sluice::openai {

/// Whether a finish reason is one. Some relays print the null of their own language into the
/// string: "null", "None", "undefined", or nothing but blanks. Pure.
bool is_finish_reason(std::string_view text);

}  // namespace sluice::openai
