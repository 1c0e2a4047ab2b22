// What the relay received and what it charged. Tests compare a client's totals with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "simulator/bill.hpp"
#include "simulator/options.hpp"
#include "simulator/request_window.hpp"

namespace sluice::simulator {

/// A sum of calls, tokens and money.
struct tally {
  std::uint64_t calls = 0;
  token_usage tokens;
  usd cost;

  void add(const token_usage& usage, usd price);
};

/// One call to an inference endpoint, from its arrival to its end.
struct attempt {
  std::size_t account = 0;
  /// Identifies the request of the attempt: a hash of its Idempotency-Key, or else of its body.
  std::uint64_t request = 0;
  std::string idempotency_key;
  std::string model;
  bool streamed = false;
  std::int64_t unix_time = 0;  ///< when it arrived
  std::chrono::nanoseconds took{0};
  token_usage usage;
  usd cost;
  bool billed = false;
};

/// A billed call in the log of an account.
struct log_row {
  std::int64_t unix_time = 0;
  std::string model;
  bool streamed = false;
  std::chrono::nanoseconds took{0};
  token_usage tokens;
  usd cost;
};

/// All accounts, attempts and charges of a relay. Not thread safe.
class ledger {
 public:
  /// One account per key, or a single account if any key is accepted.
  explicit ledger(const options& options);

  /// Counts a call with a good key. Returns whether the account's rate limit admits it.
  bool arrive(std::size_t account, time_point now);
  /// Counts a call without a good key.
  void arrive_unknown(time_point now);

  /// The reply to the attempt says that its client should start nothing for `wait`.
  void give_hint(const attempt& attempt, time_point now, std::chrono::nanoseconds wait);
  /// Counts the attempt as early if a hint was given and its time is not over. It is early if it
  /// belongs to the request that got the hint, or if it arrived later than `hint_margin` after the
  /// hint: other attempts may have been on their way.
  void check_hints(const attempt& attempt, time_point arrived);
  static constexpr std::chrono::milliseconds hint_margin{250};

  /// Whether the account has money left, and enough to pay `worst`.
  bool can_pay(std::size_t account, usd worst) const;
  usd remaining(std::size_t account) const;
  usd charged(std::size_t account) const { return accounts_[account].charged; }
  std::optional<usd> balance(std::size_t account) const { return accounts_[account].balance; }
  /// The last `longest_log` finished and billed calls of the account, the latest first.
  static constexpr std::size_t longest_log = 10'000;
  const std::deque<log_row>& log(std::size_t account) const { return accounts_[account].log; }
  /// Charges the attempt. It stays billed even if its reply is not delivered.
  void charge(attempt& attempt, const token_usage& usage, usd cost);

  /// Counts an attempt with a fault, under the fault's name.
  void count_fault(fault_kind kind);
  /// Ends the attempt. `outcome` is a status or a word; it must outlive the ledger.
  ///
  /// `delivered` means that a complete good reply was written to a client that could read it. The
  /// relay decides this when the last byte is written:
  /// - If the client has reset the connection, the reply is not delivered.
  /// - If the client has sent a FIN, it has either closed the socket and answers the reply with a
  ///   reset, or it still reads and acknowledges the reply. The relay waits for one of the two.
  /// - Otherwise the reply counts as delivered, although the client may still leave without reading
  ///   it.
  void finish(const attempt& attempt, std::string_view outcome, bool delivered);

  std::string json(bool with_requests) const;
  /// A few lines of text for the user.
  std::string summary() const;

 private:
  struct hint {
    std::uint64_t request;
    time_point given;
    time_point until;
  };
  struct account_record {
    account_record(request_window limit, std::optional<usd> money)
        : window(std::move(limit)), balance(money) {}

    request_window window;
    arrival_meter meter;
    std::optional<usd> balance;
    std::uint64_t attempts = 0;
    std::uint64_t refusals = 0;
    usd charged;
    std::deque<log_row> log;
    std::vector<hint> hints;  ///< those whose time is not over
  };
  struct request_record {
    std::string key;
    std::uint64_t billed = 0;
    std::uint64_t delivered = 0;
    std::vector<std::string_view> outcomes;
  };

  std::vector<account_record> accounts_;
  arrival_meter meter_;
  std::uint64_t attempts_ = 0;
  std::uint64_t refusals_ = 0;
  std::uint64_t early_ = 0;
  tally delivered_;
  tally billed_;
  tally billed_undelivered_;
  std::map<std::string_view, std::uint64_t> faults_;
  std::map<std::string_view, std::uint64_t> outcomes_;
  std::unordered_map<std::uint64_t, request_record> requests_;
};

}  // namespace sluice::simulator
