// The relay's routes for accounts, models and site data: everything except inference. The numbers
// come from the ledger. Formats, units and quirks are those of the imitated relay software.
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

/// A GET request.
struct account_request {
  std::string_view path;  ///< without the query
  std::string_view query;
  bool has_key = false;                ///< a key was sent, good or bad
  std::optional<std::size_t> account;  ///< the key's account, if the key is good
  std::string_view request_id;
  time_point now{};
  std::int64_t unix_now = 0;
};

/// New-api's limit on its critical routes: together 20 requests in 20 minutes from one address.
class critical_route_limit {
 public:
  bool admit(time_point now);

 private:
  std::deque<time_point> admitted_;
};

/// Answers the account routes. Not thread safe. The caller passes the time.
class account_api {
 public:
  /// `book` and `prices` must outlive this object.
  account_api(software kind, const ledger& book, const price_list& prices)
      : kind_(kind), book_(book), prices_(prices) {}

  /// The reply; nullopt: the imitated software does not have this path.
  std::optional<script> answer(const account_request& request);

  /// The refusal of a bad key on the ordinary routes; with `refuse_spent` also of a key without
  /// money, if the imitated software checks that before it reads the request.
  std::optional<script> refusal(const account_request& request, bool refuse_spent) const;

 private:
  script subscription(const account_request& request) const;
  script usage(const account_request& request) const;
  script credit_grants(const account_request& request) const;
  script token_usage(const account_request& request);
  script token_log(const account_request& request);
  script models(const account_request& request) const;
  script one_model(const account_request& request, std::string_view model) const;
  script site_status() const;
  /// The prices at this time, since the list for clients has no times of day.
  script pricing(std::int64_t unix_now) const;

  bool is_openai() const { return kind_ == software::openai || kind_ == software::api2gpt; }
  std::optional<script> refusal_of_lookup(const account_request& request) const;

  software kind_;
  const ledger& book_;
  const price_list& prices_;
  critical_route_limit critical_;
};

}  // namespace sluice::simulator
