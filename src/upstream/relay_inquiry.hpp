#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "http/base_url.hpp"
#include "http/http_client.hpp"
#include "sluice/config.hpp"
#include "sluice/observer.hpp"
#include "upstream/secrets.hpp"

namespace sluice {

/// The outcome of one relay_inquiry request. All texts are redacted.
struct relay_answer {
  int status = 0;        ///< 0: no response head arrived
  std::string url;       ///< the requested URL
  std::string location;  ///< redirect target; never followed, since the key is for this relay only
  std::string body;
  exchange_end::how end = exchange_end::how::complete;
  std::string trouble;  ///< one line if the exchange failed; empty: it is the relay's answer

  /// A complete body with a 2xx status arrived.
  bool succeeded() const noexcept { return trouble.empty() && status >= 200 && status < 300; }
  /// Another request would fail too: no connection, or a timeout.
  bool is_hopeless() const noexcept;
};

/// One line that describes an unexpected answer: status and message, redirect target, or transport
/// error.
std::string said(const relay_answer& answer);

/// Sends requests that are not completions to a relay: its models, a key's balance. Not thread
/// safe: use it on the event loop's thread, one request at a time. The requests do not count in the
/// rate limit, since relays do not count them.
class relay_inquiry {
 public:
  /// All references must outlive this object. `listener` is notified of each request; may be null.
  relay_inquiry(http_client& client, const relay_options& relay, observer* listener = nullptr);

  /// GET. `path` is like "/v1/models" or "/api/status" and must not contain a key. A body larger
  /// than 16 MiB, or than the relay's `max_response_bytes`, is an error.
  boost::asio::awaitable<relay_answer> get(std::string path);

 private:
  http_client& client_;
  observer* const observer_;
  const base_url url_;
  const secrets hidden_;
  const std::uint64_t most_bytes_;
};

}  // namespace sluice
