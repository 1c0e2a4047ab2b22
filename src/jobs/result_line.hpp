#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/money.hpp"
#include "sluice/prices.hpp"
#include "sluice/result.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Maximum length in bytes of a line that is read from an output or errors file.
inline constexpr std::uint64_t longest_result_line = std::uint64_t{1} << 30;

/// The line of an output or errors file for a result. It has the form of the OpenAI Batch API, plus
/// one object, `sluice`. Ends with a newline. `kept`: with a budget, the most that the attempts
/// with an unknown outcome can have cost in addition to `cost`. `cache_saved`: see
/// model_prices::saved_by_cache(); the line contains it if the usage shows the provider's cache.
/// `rejected`: earlier replies that were billed. The line of a request whose last reply was
/// rejected has that reply in this list, too.
std::string result_line(const result& finished, const std::optional<usd>& cost, bool simulated,
                        usd kept = {}, const std::optional<usd>& cache_saved = {},
                        const std::vector<rejected_reply>& rejected = {});

/// A rejected reply as JSON; it is an element of `sluice.rejected`.
std::string rejected_json(const rejected_reply& rejected);
/// Reads what rejected_json() wrote.
rejected_reply parse_rejected(std::string_view json);

struct stored_line;
/// The line of a request that was not sent because an equal request has a result. `stored` is that
/// result, and `text` is its line. The copy has the same response or error, no usage, and no cost.
/// `kept`: as in result_line(). `rejected`: replies to this request from before it was a copy.
std::string copied_line(const request& equal, std::string_view text, const stored_line& stored,
                        std::uint32_t attempts, bool simulated, usd kept = {},
                        const std::vector<rejected_reply>& rejected = {});
/// What the copy adds to the totals.
line_facts facts_of_copy(const request& equal, const stored_line& stored);

/// What a new result adds to the totals.
line_facts facts_of(const result& finished, const std::optional<usd>& cost,
                    const std::optional<usd>& cache_saved = {});

/// The facts on which the price of a reply depends. Times are rounded as in the line of the result,
/// so that its cost can be computed again from the line.
serving serving_of(const result& finished);

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
  line_facts facts;

  /// The facts on which the price of the reply depends.
  serving served() const;
};

/// Parses a line that result_line() wrote; nothing if it is not such a line.
std::optional<stored_line> parse_stored_line(std::string_view text);

/// The job line that a stored line belongs to; the highest number if it has none. Parses less than
/// parse_stored_line().
std::uint64_t job_line_of(std::string_view text);

/// Why the request of the line failed, in the words of this program or of the reply.
std::string failure_message(const stored_line& line);

/// The name under which the totals count a failure: its HTTP status, or its code.
std::string error_name(const failure& why);

}  // namespace sluice
