// What the relay tells of its accounts, its models and itself: everything but inference. Its
// figures are those of the ledger; its shapes, units and traps those of the software that it passes
// for. Pure but for the ration it keeps: the caller passes the time.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string_view>

#include "simulator/bill.hpp"
#include "simulator/ledger.hpp"
#include "simulator/request_window.hpp"
#include "simulator/script.hpp"
#include "simulator/software.hpp"

namespace sluice::simulator {

/// A GET, as far as its head tells.
struct account_question {
  std::string_view path;  ///< without the query
  std::string_view query;
  bool has_key = false;                ///< some key was sent
  std::optional<std::size_t> account;  ///< of a key that the relay knows
  std::string_view request_id;
  time_point now{};
  std::int64_t unix_now = 0;
};

/// New-api lets an address ask certain routes 20 times in 20 minutes, all of them together.
class ration {
 public:
  bool admit(time_point now);

 private:
  std::deque<time_point> admitted_;
};

class account_api {
 public:
  /// Both outlive it.
  account_api(software kind, const ledger& book, const price_list& prices)
      : kind_(kind), book_(book), prices_(prices) {}

  /// Nothing for a path that this software does not have.
  std::optional<script> answer(const account_question& asked);

 private:
  script subscription(const account_question& asked) const;
  script usage(const account_question& asked) const;
  script credit_grants(const account_question& asked) const;
  script token_usage(const account_question& asked);
  script token_log(const account_question& asked);
  script models(const account_question& asked) const;
  script one_model(const account_question& asked, std::string_view model) const;
  script site_status() const;
  script pricing() const;

  bool is_openai() const { return kind_ == software::openai || kind_ == software::api2gpt; }
  std::optional<script> refusal(const account_question& asked, bool of_spent) const;
  std::optional<script> refusal_of_lookup(const account_question& asked) const;

  software kind_;
  const ledger& book_;
  const price_list& prices_;
  ration critical_;
};

}  // namespace sluice::simulator
