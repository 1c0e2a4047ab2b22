#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/wording.hpp"
#include "json/object.hpp"

namespace sluice {

/// A form of lines that other programs write.
struct foreign_form {
  std::string_view line;    ///< one of them, with its article
  std::string_view lines;   ///< many of them
  std::string_view advice;  ///< what to do, as a sentence without its full stop
};

/// The form of a line of another API, or of a result; null for all others. Pure.
const foreign_form* foreign_line(const json_object& line);

/// What a file is whose text begins so and that can be no job, as the end of a sentence that begins
/// with its name and says what to do: compressed, UTF-16, a list, pretty-printed, a table, lines of
/// another API. Nothing where it may be a job, bad lines or not: lines are judged one by one unless
/// all that can be seen are of the same foreign kind. Pure.
std::optional<wording> foreign_file(std::string_view start);

}  // namespace sluice
