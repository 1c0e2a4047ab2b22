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

/// What came of one question to a relay.
struct relay_answer {
  int status = 0;        ///< 0: no head came
  std::string url;       ///< that was asked, as it may be shown
  std::string location;  ///< of a redirect, which is never followed: the key is for this relay
  std::string body;      ///< the relay's keys in it are blotted out
  exchange_end::how end = exchange_end::how::complete;
  std::string trouble;  ///< of an end that is none of the relay's answers; one line

  /// A whole body came, with a status of success.
  bool succeeded() const noexcept { return trouble.empty() && status >= 200 && status < 300; }
  /// Nothing that is asked next would fare better: no connection can be had, or in no good time.
  bool is_hopeless() const noexcept;
};

/// One line about an answer that is not the one hoped for, as it may be shown: the status and the
/// relay's words, where it redirects to, or the trouble on the way.
std::string said(const relay_answer& answer);

/// Asks a relay what is no completion: its models, a key's balance. One question at a time; they
/// take no place in the limit, since relays do not count them there. Belongs to the event loop's
/// thread.
class relay_inquiry {
 public:
  /// All outlive it. `seen_by` hears of each question; null: nobody does.
  relay_inquiry(http_client& client, const relay_options& relay, observer* seen_by = nullptr);

  /// GET; `path` is "/v1/models" or "/api/status", and never has a key in it. A body longer
  /// than 16 MiB, or than the relay's `max_response_bytes`, is trouble.
  boost::asio::awaitable<relay_answer> get(std::string path);

 private:
  http_client& client_;
  observer* const observer_;
  const base_url url_;
  const secrets hidden_;
  const std::uint64_t most_bytes_;
};

}  // namespace sluice
