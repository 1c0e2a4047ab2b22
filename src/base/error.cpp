#include "sluice/error.hpp"

#include "base/printable.hpp"

namespace sluice {

fatal_error::fatal_error(kind why, std::string_view sentence)
    : std::runtime_error(printable_text(sentence)), why_(why) {}

}  // namespace sluice
