#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/language.hpp"

namespace sluice::cli {

/// The format of a line on the screen.
struct line_form {
  std::size_t columns = 0;  ///< cells; 0: any number
  bool colour = false;
  language spoken = language::english;
};

/// The meaning of a text, which its colour shows.
enum class tone : std::uint8_t { plain, bad, waiting };

/// The text in the colour of its meaning, if the form has colours.
std::string toned(const std::string& text, tone meaning, const line_form& form);

/// A line of parts with different importance. If not all of them fit, the less important ones are
/// first shortened and then left out.
class fitted_line {
 public:
  struct part {
    std::string text;
    std::string brief = {};  ///< a shorter version of the text; empty: none
    unsigned weight = 0;     ///< the part with the least weight is shortened first
    tone meaning = tone::plain;
    std::string before = " | ";  ///< the separator from the part before it
  };

  void add(part one) { parts_.push_back(std::move(one)); }
  /// The line in that form. The part with the most weight is always in it.
  std::string in(const line_form& form) const;

 private:
  std::vector<part> parts_;
};

}  // namespace sluice::cli
