#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "notify/webhook_form.hpp"

namespace sluice::notify {

/// How a run ended.
struct run_end {
  std::string run;     ///< a unique name of this run
  std::string status;  ///< completed, stopped, interrupted, or failed: results cannot be written
  int exit_status = 0;
  std::string sentence;           ///< a summary in one line, for people
  std::vector<std::string> jobs;  ///< the totals of each job, as JSON objects
};

/// A webhook, ready to be posted.
struct message {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// Throws fatal_error if the address or the secret cannot be used. The message shows neither, since
/// the addresses of chat robots are secrets too. `flag`: the flag that named the address, for the
/// message.
void check_webhook(webhook_form form, const std::string& url, const std::string& secret,
                   std::string_view flag = "--notify");

/// The message about the end of a run. Address and secret must have been checked. An empty secret:
/// the message is not signed. WeCom and Slack have no signatures.
message compose(webhook_form form, const std::string& url, const std::string& secret,
                const run_end& end, double unix_now);

/// The meaning of an answer to the message.
struct verdict {
  enum class kind : std::uint8_t { delivered, try_again, refused };
  kind what = kind::delivered;
  std::string why = {};  ///< the reason, unless it was delivered
};

/// Decides by the HTTP status of the answer and by its body, since chat robots refuse with status
/// 200.
verdict judge(webhook_form form, int http_status, std::string_view body);

/// The pause after this number of tries that failed for a temporary reason; nullopt: no more tries.
std::optional<std::chrono::seconds> pause_after(unsigned tries);

/// The host of the address, for user messages.
std::string shown_host(const std::string& url);

}  // namespace sluice::notify
