#pragma once

#include <cstdint>

namespace sluice {

/// What the reader of a body needs next, after the bytes it has read. `trailer` may change back to
/// `more`; `nothing` is final.
enum class body_need : std::uint8_t {
  more,     ///< the reply is not complete
  trailer,  ///< the reply is complete, but more data may follow: wait a short time for it
  nothing,  ///< the reply is complete or cannot be used: stop reading
};

}  // namespace sluice
