#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "base/refuse.hpp"
#include "base/wording.hpp"
#include "sluice/error.hpp"

namespace sluice {

/// A fatal_error that the screen can show in Chinese. what() is English, as for all exceptions, and
/// is used for files, logs and other programs.
class translated_error : public fatal_error {
 public:
  translated_error(kind why, const wording& sentence);
  const std::string& chinese() const noexcept { return chinese_; }

 private:
  std::string chinese_;
};

/// The message of an exception. If it is not a translated_error, the Chinese text is English, too.
wording words_of(const std::exception& thrown);

/// Throws the translated_error of a program that cannot start.
[[noreturn]] void refuse(const wording& sentence);
/// The same for "subject: what".
[[noreturn]] void refuse(std::string_view subject, const wording& what);

}  // namespace sluice
