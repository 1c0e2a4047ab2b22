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

/// Finds out what a key may spend, and what it has spent it on. Relays tell it on one route or
/// another: billing is asked first, as OpenAI had it and nearly all have kept it; then what newer
/// relays have for a key alone, which answers for an exhausted key as well, and is asked once at
/// most since 20 calls in 20 minutes shut it; then credit grants. One object for each command and
/// relay; belongs to the event loop's thread.
class quota_inquiry {
 public:
  /// Both outlive it.
  quota_inquiry(relay_inquiry& relay, const clock& time) : relay_(relay), time_(time) {}

  /// Nothing when no route tells it; answers() has what each answered. A key that has come to its
  /// end is an answer, too.
  boost::asio::awaitable<std::optional<quota>> ask();
  /// Asks the billing routes alone: one to three questions, none that is rationed.
  boost::asio::awaitable<std::optional<quota>> ask_thriftily();
  /// What was billed; nothing when the relay shows no log, and answers() has why.
  boost::asio::awaitable<std::optional<std::vector<usage_log_row>>> ask_log();

  /// What each route answered that did not tell: "https://host/path: 404 (words)".
  const std::vector<std::string>& answers() const noexcept { return answers_; }
  /// How the exchange ended that made all further questions hopeless; complete: none did.
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
  std::optional<key_status> told_status_;  // by a refusal
  bool key_refused_ = false;               // on billing
  std::vector<std::string> answers_;
  exchange_end::how trouble_ = exchange_end::how::complete;
};

}  // namespace sluice::account
