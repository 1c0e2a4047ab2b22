#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "openai/reply_reader.hpp"

namespace sluice::openai {

/// How long a refusal asks to wait. The first that is there and makes sense: `retry-after-ms`,
/// `retry-after` (seconds or a date), the words of the message, and on a 429 `x-ratelimit-reset-*`.
/// No wait, or one that is over, makes no sense.
std::optional<std::chrono::nanoseconds> retry_hint(const response_head& head,
                                                   std::string_view message, double now_unix);

/// A duration as Go writes it, "6m0s" or "18.642s"; the units may be words, "1 day 2 hours".
/// Nothing when `text` does not begin with one.
std::optional<std::chrono::nanoseconds> leading_duration(std::string_view text);

/// Seconds since the epoch of an HTTP date in any of its three forms (RFC 9110 §5.6.7).
std::optional<double> http_date(std::string_view text);

}  // namespace sluice::openai
