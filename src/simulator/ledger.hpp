// What the relay saw and what it charged, for a client's totals to be held against. Not
// thread-safe.
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

/// Calls, tokens and money added up.
struct tally {
  std::uint64_t calls = 0;
  token_usage tokens;
  usd cost;

  void add(const token_usage& usage, usd price);
};

/// One call to an inference endpoint, from its arrival to its end.
struct attempt {
  std::size_t account = 0;
  /// Groups the attempts of one request: its Idempotency-Key, or its bytes where it has none.
  std::uint64_t request = 0;
  std::string idempotency_key;
  std::string model;
  bool streamed = false;
  std::int64_t unix_time = 0;  ///< of its arrival
  std::chrono::nanoseconds took{0};
  token_usage usage;
  usd cost;
  bool billed = false;
};

/// A call that was billed, as the log of an account has it.
struct log_row {
  std::int64_t unix_time = 0;
  std::string model;
  bool streamed = false;
  std::chrono::nanoseconds took{0};
  token_usage tokens;
  usd cost;
};

class ledger {
 public:
  /// One account a key, or a single one when any key is accepted.
  explicit ledger(const options& options);

  /// Counts an arrival whose key is good; whether the account's limit lets it through.
  bool arrive(std::size_t account, time_point now);
  /// Counts an arrival without a good key.
  void arrive_unknown(time_point now);

  /// Whether the account can pay `worst` beside what it has been charged.
  bool can_pay(std::size_t account, usd worst) const;
  usd remaining(std::size_t account) const;
  usd charged(std::size_t account) const { return accounts_[account].charged; }
  std::optional<usd> balance(std::size_t account) const { return accounts_[account].balance; }
  /// The calls that the account was billed for and that are over, the last one first: so many of
  /// the last.
  static constexpr std::size_t longest_log = 10'000;
  const std::deque<log_row>& log(std::size_t account) const { return accounts_[account].log; }
  /// Charges the attempt; from now on it counts as billed, delivered or not.
  void charge(attempt& attempt, const token_usage& usage, usd cost);

  /// The attempt struck by a fault, counted by its name.
  void count_fault(fault_kind kind);
  /// The attempt is over. `outcome` is a status or a word that outlives the ledger; `delivered`
  /// means that a whole good reply was written to a client that could read it, as far as can be
  /// known once its last byte is written. A client that was reset by then could not. One that has
  /// sent its FIN has closed, which answers the reply with a reset, or reads on, which acknowledges
  /// it: the outcome waits for the one or the other. Of a client that has sent neither nothing is
  /// waited for: it may still leave with the reply unread, and the reply counts as delivered.
  void finish(const attempt& attempt, std::string_view outcome, bool delivered);

  std::string json(bool with_requests) const;
  /// A few lines for a person.
  std::string summary() const;

 private:
  struct account_record {
    account_record(request_window limit, std::optional<usd> purse)
        : window(std::move(limit)), balance(purse) {}

    request_window window;
    arrival_meter meter;
    std::optional<usd> balance;
    std::uint64_t attempts = 0;
    std::uint64_t refusals = 0;
    usd charged;
    std::deque<log_row> log;
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
  tally delivered_;
  tally billed_;
  tally billed_undelivered_;
  std::map<std::string_view, std::uint64_t> faults_;
  std::map<std::string_view, std::uint64_t> outcomes_;
  std::unordered_map<std::uint64_t, request_record> requests_;
};

}  // namespace sluice::simulator
