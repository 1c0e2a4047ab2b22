#include "sluice/error.hpp"

#include <fmt/format.h>

#include <iterator>

#include "json_text.hpp"

namespace sluice {
namespace {

// Paths, keys and values come from anywhere; a screen is to show them and not to obey them.
std::string without_controls(std::string_view text) {
  std::string shown;
  for (const char c : valid_utf8(std::string(text))) {
    if (static_cast<unsigned char>(c) >= ' ' && c != '\x7F') {
      shown += c;
    } else {
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", static_cast<unsigned>(c));
    }
  }
  return shown;
}

}  // namespace

fatal_error::fatal_error(kind why, std::string_view sentence)
    : std::runtime_error(without_controls(sentence)), why_(why) {}

}  // namespace sluice
