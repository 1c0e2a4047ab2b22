#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "openai/reply_head.hpp"

namespace sluice::openai {

/// How long an error response asks to wait. The first valid value is used, in this order: the
/// headers `retry-after-ms` and `retry-after`; the body, in a field or in its message; with status
/// 429, the header `…ratelimit…reset…` of an exhausted counter. `body` contains the fields of the
/// body, under the names that headers have.
///
/// Each value may be a number, a duration with units ("1m30s", "PT1M"), or a date. A number that is
/// within ten years of now, as seconds, milliseconds or a smaller unit since the epoch, is a point
/// in time, whatever the unit of the header, since no server asks to wait for decades. Points in
/// time are compared with the server's clock, if the head has its date, because the clock of this
/// machine may be wrong. A wait of zero, or one that is over, is not valid. A long wait is returned
/// unchanged, up to 1e9 s.
std::optional<std::chrono::nanoseconds> retry_hint(const reply_head& head, std::string_view message,
                                                   double now_unix, const hint_fields& body = {});

/// Whether retry_hint may read a header of this name, ignoring case.
bool is_retry_hint(std::string_view name);

/// A duration as Go writes it, "6m0s" or "18.642s"; the units may also be words, "1 day 2 hours".
/// nullopt if `text` does not begin with one.
std::optional<std::chrono::nanoseconds> leading_duration(std::string_view text);

/// Converts a date to seconds since the epoch. The date has any of HTTP's three formats (RFC 9110
/// §5.6.7) or the format of RFC 3339; its zone is GMT, UTC or an offset; without a zone it is UTC.
std::optional<double> http_date(std::string_view text);

}  // namespace sluice::openai
