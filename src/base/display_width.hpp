#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

/// The cells that a UTF-8 text takes on a terminal: two for a wide character, none for one that
/// joins the character before it, none for a colour (an SGR escape sequence). A terminal may draw
/// some emoji narrower, never wider.
std::size_t display_width(std::string_view text);

/// The beginning of the text that fits into this number of cells. A character is not separated from
/// those that join it. If a colour is still active at the end, it is ended there.
std::string fitting(std::string_view text, std::size_t cells);

}  // namespace sluice
