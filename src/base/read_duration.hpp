#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace sluice {

/// Reads a duration as people write it: `250ms`, `10s`, `1.5s`, `2m`, `1h`, or a bare `0`. Nothing
/// for any other text, for a negative number, and for more than about 30 years. May be called from
/// any thread.
std::optional<std::chrono::nanoseconds> read_duration(std::string_view text);

}  // namespace sluice
