#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "openai/reply_head.hpp"

namespace sluice::openai {

/// How long a refusal asks to wait. The first that is there and makes sense: `retry-after-ms` and
/// `retry-after`; what the body says, in a field or in the words of its message; and on a 429 the
/// `…ratelimit…reset…` of a counter that is exhausted. `body` holds what stands in the body, under
/// the names that headers have.
///
/// Each value may be a number, a length with its units ("1m30s", "PT1M"), or a date. A number
/// within ten years of now, in seconds, milliseconds or less since the epoch, is a moment, whatever
/// the header's own unit: no server asks to wait for decades. No wait, or one that is over, makes
/// no sense. A long wait is returned unchanged, up to 1e9 s.
std::optional<std::chrono::nanoseconds> retry_hint(const reply_head& head, std::string_view message,
                                                   double now_unix, const hint_fields& body = {});

/// Whether retry_hint may read a header of that name, in any case of its letters.
bool is_retry_hint(std::string_view name);

/// A duration as Go writes it, "6m0s" or "18.642s"; the units may be words, "1 day 2 hours".
/// Nothing when `text` does not begin with one.
std::optional<std::chrono::nanoseconds> leading_duration(std::string_view text);

/// Seconds since the epoch of a date in any of HTTP's three forms (RFC 9110 §5.6.7) or as RFC 3339
/// has it; with GMT, UTC, an offset or no zone, which is UTC.
std::optional<double> http_date(std::string_view text);

}  // namespace sluice::openai
