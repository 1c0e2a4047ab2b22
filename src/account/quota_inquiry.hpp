#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "account/quota_reader.hpp"
#include "account/site_units.hpp"
#include "account/usage_log_reader.hpp"
#include "sluice/clock.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice::account {

/// Finds out how much a key may spend, and what it was spent on. Relays report this on different
/// routes. The billing routes come first, as OpenAI had them and almost all relays still have. The
/// second is the token usage route of newer relays, which also answers for an exhausted key. It is
/// called at most once, since it blocks after 20 calls in 20 minutes. The last are credit grants.
/// One object for each command and relay. Not thread safe: use it on the event loop's thread.
class quota_inquiry {
 public:
  /// Both references must outlive this object.
  quota_inquiry(relay_inquiry& relay, const clock& time) : relay_(relay), time_(time) {}

  /// nullopt: no route reports the quota; answers() contains what each one answered. An exhausted,
  /// expired or disabled key is a result too.
  boost::asio::awaitable<std::optional<quota>> ask();
  /// Uses only the billing routes: one to three requests, none on a route with its own limit.
  boost::asio::awaitable<std::optional<quota>> ask_thriftily();
  /// The billed calls. nullopt: the relay shows no log; answers() contains the reason.
  boost::asio::awaitable<std::optional<std::vector<usage_log_row>>> ask_log();

  /// The answers of all routes that did not report the quota: "https://host/path: 404 (message)".
  const std::vector<std::string>& answers() const noexcept { return answers_; }
  /// The end of an exchange that made more requests useless; complete: there was none.
  exchange_end::how trouble() const noexcept { return trouble_; }

 private:
  boost::asio::awaitable<bool> ask_billing();
  boost::asio::awaitable<void> ask_usage(std::string prefix, subscription granted);
  boost::asio::awaitable<bool> ask_token_usage();
  boost::asio::awaitable<bool> ask_credit_grants();
  boost::asio::awaitable<void> learn_units();
  boost::asio::awaitable<relay_answer> get(std::string path);
  void note(const relay_answer& answer);
  bool is_hopeless() const noexcept { return trouble_ != exchange_end::how::complete; }
  void settle();

  relay_inquiry& relay_;
  const clock& time_;
  std::optional<site_units> units_;
  std::optional<quota> told_;
  std::optional<key_status> told_status_;  // from a refusal
  bool key_refused_ = false;               // by a billing route
  std::vector<std::string> answers_;
  exchange_end::how trouble_ = exchange_end::how::complete;
};

}  // namespace sluice::account
