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
  std::string run;     ///< a name for this run, unique
  std::string status;  ///< completed, stopped, interrupted, or failed: results cannot be written
  int exit_status = 0;
  std::string sentence;           ///< all of it in one line, for a person
  std::vector<std::string> jobs;  ///< the totals of each job, as JSON objects
};

/// A webhook, ready to be posted.
struct message {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// Refuses, by fatal_error, an address or a secret that cannot be used. Neither is shown: the
/// addresses of chat robots are secrets, too. `flag`: that named the address, for the message.
void check_webhook(webhook_form form, const std::string& url, const std::string& secret,
                   std::string_view flag = "--notify");

/// The message of the end of a run, to an address and with a secret that were checked. An empty
/// secret: it is not signed. WeCom and Slack have no signatures.
message compose(webhook_form form, const std::string& url, const std::string& secret,
                const run_end& end, double unix_now);

/// What an answer to the message means.
struct verdict {
  enum class kind : std::uint8_t { delivered, try_again, refused };
  kind what = kind::delivered;
  std::string why = {};  ///< unless it was delivered
};

/// Judges an answer by its HTTP status and, since chat robots refuse with status 200, by its body.
verdict judge(webhook_form form, int http_status, std::string_view body);

/// The pause after this number of tries that failed for a temporary reason; nothing: no more tries.
std::optional<std::chrono::seconds> pause_after(unsigned tries);

/// The host of the address, for messages.
std::string shown_host(const std::string& url);

}  // namespace sluice::notify
