#pragma once

#include <string_view>

namespace sluice {

/// Throws the fatal_error of a program that cannot start. The sentence names the flag or the file,
/// and says what to do.
[[noreturn]] void refuse(std::string_view sentence);
/// The same for "subject: what".
[[noreturn]] void refuse(std::string_view subject, std::string_view what);

}  // namespace sluice
