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

/// The line of an output or errors file for a result: that of the OpenAI Batch API, and one object
/// more, `sluice`. Ends with a newline. `kept`: of a budget, the most that its attempts of unknown
/// outcome can have cost beyond `cost`. `cache_saved`: see model_prices::saved_by_cache(); it is in
/// the line if the usage shows the provider's cache. `rejected`: replies that came before and were
/// billed; a line of a rejected reply has it in this list, too.
std::string result_line(const result& finished, const std::optional<usd>& cost, bool simulated,
                        usd kept = {}, const std::optional<usd>& cache_saved = {},
                        const std::vector<rejected_reply>& rejected = {});

/// A rejected reply as JSON: an element of `sluice.rejected`.
std::string rejected_json(const rejected_reply& rejected);
/// Reads what rejected_json() wrote.
rejected_reply parse_rejected(std::string_view json);

struct stored_line;
/// The line of a request that was not sent, because an equal one has the result that `stored` tells
/// of; `text` is its line. The copy has the same response or error, no usage, and no cost. `kept`:
/// as in result_line(). `rejected`: replies to this request from before it was a copy.
std::string copied_line(const request& equal, std::string_view text, const stored_line& stored,
                        std::uint32_t attempts, bool simulated, usd kept = {},
                        const std::vector<rejected_reply>& rejected = {});
/// What it adds to the totals.
line_facts facts_of_copy(const request& equal, const stored_line& stored);

/// What a fresh result adds to the totals.
line_facts facts_of(const result& finished, const std::optional<usd>& cost,
                    const std::optional<usd>& cache_saved = {});

/// What the price of a reply depends on, with the times as its line tells them: so that its cost
/// can be computed again from the line.
serving serving_of(const result& finished);

/// A line of an output or errors file, read again. Views are of the text it was read from.
struct stored_line {
  std::string custom_id;  ///< in WTF-8
  std::string digest;
  std::uint64_t line = 0;  ///< of the job, as it was then
  std::uint32_t attempts = 0;
  bool of_bad_line = false;  ///< tells of a line that could not be sent: taken anew from the job
  std::string copied_from;   ///< of a copy: the id of the equal request that was sent; in WTF-8
  std::string message;       ///< of a failure without a reply: why
  bool simulated = false;
  bool streamed = false;
  std::optional<double> started_at;         ///< of the last attempt; seconds since the epoch
  double latency_ms = 0;                    ///< of the last attempt
  std::string_view request_id;              ///< the relay's, as JSON; empty: none
  std::string_view reply;                   ///< the body of the reply, as JSON; empty: none
  usd kept;                                 ///< of a budget, beyond its cost
  std::optional<std::string> service_tier;  ///< of a reply; nothing: the relay did not say
  line_facts facts;

  /// What the price of the reply depends on.
  serving served() const;
};

/// Reads a line that result_line wrote; nothing when it is not one.
std::optional<stored_line> parse_stored_line(std::string_view text);

/// The line of the job that a stored line belongs to; the highest number if it has none. Reads less
/// than parse_stored_line().
std::uint64_t job_line_of(std::string_view text);

/// Why the request of the line failed: this program's words, or those of the reply.
std::string failure_message(const stored_line& line);

/// The name under which the totals count a failure: its status, or its code.
std::string error_name(const failure& why);

}  // namespace sluice
