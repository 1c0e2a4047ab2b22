#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/money.hpp"
#include "sluice/prices.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Reads the lines that result_line.hpp writes.

/// Maximum length in bytes of a line that is read from an output or errors file.
inline constexpr std::uint64_t longest_result_line = std::uint64_t{1} << 30;

/// A line of an output or errors file, parsed. The views point into the parsed text.
struct stored_line {
  std::string custom_id;  ///< in WTF-8
  std::string digest;
  std::uint64_t line = 0;  ///< the job line at the time when it was written
  std::uint32_t attempts = 0;
  /// It is about a line that could not be sent, and will be read from the job again.
  bool of_bad_line = false;
  std::string copied_from;  ///< for a copy: the id of the equal request that was sent; in WTF-8
  std::string message;      ///< for a failure without a reply: the reason
  bool simulated = false;
  bool streamed = false;
  std::optional<double> started_at;  ///< of the last attempt; seconds since the epoch
  double latency_ms = 0;             ///< of the last attempt
  std::string_view request_id;       ///< the relay's id, as JSON; empty: none
  std::string_view reply;            ///< the body of the reply, as JSON; empty: none
  usd kept;                          ///< with a budget: the amount kept in addition to its cost
  std::optional<std::string> service_tier;  ///< of the reply; nothing: the relay did not report it
  std::string speed;                        ///< of the reply; empty: not reported
  std::string inference_geo;                ///< of the reply; empty: not reported
  line_facts facts;

  /// The facts on which the price of the reply depends.
  serving served() const;
};

/// Parses a line that result_line() wrote; nothing if it is not such a line.
std::optional<stored_line> parse_stored_line(std::string_view text);

/// The job line that a stored line belongs to; the highest number if it has none. Parses less than
/// parse_stored_line().
std::uint64_t job_line_of(std::string_view text);

/// Reads what rejected_json() wrote.
rejected_reply parse_rejected(std::string_view json);

/// Why the request of the line failed, in the words of this program or of the reply.
std::string failure_message(const stored_line& line);

}  // namespace sluice
