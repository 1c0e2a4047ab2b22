#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "notify/message.hpp"

namespace sluice::notify {

/// The end of a batch on a server.
struct batch_event {
  std::string batch;          ///< id of the batch
  std::string status;         ///< completed, failed, expired or cancelled
  std::int64_t ended_at = 0;  ///< Unix time
};

/// The message of the event in the form of OpenAI's webhooks, signed according to Standard
/// Webhooks. Its id is the same in every try. `secret` must be one that standard_key() reads.
message compose(const std::string& url, const std::string& secret, const batch_event& event,
                double unix_now);

/// The pause after this number of failed tries, as the specification of Standard Webhooks
/// recommends; nullopt: no more tries. All tries together take about three days.
std::optional<std::chrono::seconds> event_pause_after(unsigned tries);

/// Whether this answer means that the receiver wants no more tries: 410 Gone.
bool ends_tries(int http_status) noexcept;

}  // namespace sluice::notify
