#pragma once

#include <cstdint>

namespace sluice::cli {

/// Whether the screen has colours: --color.
enum class colour_choice : std::uint8_t {
  automatic,  ///< on a terminal, unless NO_COLOR is set
  always,
  never,
};

/// How progress is shown: --progress.
enum class progress_kind : std::uint8_t {
  automatic,  ///< a live line on a terminal, otherwise like `plain`
  plain,      ///< a new line every 10 s
  json,       ///< an object every 10 s and one at the end
  none,
};

}  // namespace sluice::cli
