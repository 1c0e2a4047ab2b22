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

/// The name under which the totals count a failure: its HTTP status, or its code.
std::string error_name(const failure& why);

}  // namespace sluice
