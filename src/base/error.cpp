#include "sluice/error.hpp"

#include "base/shown_text.hpp"

namespace sluice {

fatal_error::fatal_error(kind why, std::string_view sentence)
    : std::runtime_error(shown_text(sentence)), why_(why) {}

}  // namespace sluice
