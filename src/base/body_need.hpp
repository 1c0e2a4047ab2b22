#pragma once

#include <cstdint>

namespace sluice {

/// What the reader of a body wants next, as things stand after the bytes so far. It may go from
/// `trailer` back to `more`; `nothing` is the last word.
enum class body_need : std::uint8_t {
  more,     ///< the reply is not whole
  trailer,  ///< it is whole but for what may yet follow, which is worth a short wait
  nothing,  ///< it is whole, or beyond help: stop reading
};

}  // namespace sluice
