#include "sluice/error.hpp"

#include <fmt/format.h>

#include "base/printable.hpp"
#include "base/refuse.hpp"

namespace sluice {

fatal_error::fatal_error(kind why, std::string_view sentence)
    : std::runtime_error(printable_text(sentence)), why_(why) {}

void refuse(std::string_view sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

void refuse(std::string_view subject, std::string_view what) {
  refuse(fmt::format("{}: {}", subject, what));
}

}  // namespace sluice
