#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "notify/message.hpp"

namespace sluice::notify {

/// The end of a batch of a server.
struct batch_event {
  std::string batch;          ///< id of the batch
  std::string status;         ///< completed, failed, expired or cancelled
  std::int64_t ended_at = 0;  ///< Unix time
};

/// The message of the event in the form of OpenAI's webhooks, signed as Standard Webhooks. Its id
/// is the same in every try. `secret` must be one that standard_key() reads.
message compose(const std::string& url, const std::string& secret, const batch_event& event,
                double unix_now);

/// The pause after this number of tries that failed, as the specification of Standard Webhooks
/// recommends; nothing: no more tries. They take some three days.
std::optional<std::chrono::seconds> event_pause_after(unsigned tries);

/// Whether a receiver with this answer wants no more tries: 410 Gone.
bool ends_tries(int http_status) noexcept;

}  // namespace sluice::notify
