#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/request_counts.hpp"
#include "sluice/clock.hpp"
#include "sluice/totals.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// Converts a job's totals to the form in the store.
store::batch_progress progress_of(const job_totals& totals);

/// The end of an interactive call.
struct call_end {
  int status = 0;  ///< status of the answer; 0: it was not sent completely
  /// The class of the failure, as in a batch: a code, or the HTTP status. Empty: no failure.
  std::string error{};
  duration took{};  ///< from the end of the request to the end of the answer
  /// From the end of the request to the first byte of a relay's reply.
  std::optional<duration> first_byte{};
};

/// Counts what batches and interactive calls have done since the server started. It is the only
/// place that counts them, for /metrics, for the status and for the page. It has sums over all
/// clients. For each owner it has the results of the last hour, errors by class and successes by
/// model. It starts empty; the store has the results of batches from before. Pure: takes totals and
/// times. Not thread safe: use it on the event loop's thread.
class server_figures {
 public:
  static constexpr std::int64_t step_s = 10;  ///< seconds of one step of the last hour
  static constexpr std::size_t most_steps = 360;
  /// The number of batches whose figures are kept separately. Of older ones, only the sums by owner
  /// are kept.
  static constexpr std::size_t most_batches = 10'000;
  /// Clients and relays choose some of the names of models and error classes. So each sum counts at
  /// most this number of names separately, and the rest under `others`.
  static constexpr std::size_t most_models = 200;
  static constexpr std::size_t most_errors = 64;
  /// The same limit for the models of calls, over all owners.
  static constexpr std::size_t most_call_models = 1000;
  static constexpr std::string_view others = "other";

  /// `is_known`: returns whether the sums over all clients may count a model separately; empty: all
  /// models.
  explicit server_figures(double unix_now,
                          std::function<bool(std::string_view model)> is_known = {})
      : started_at_(unix_now), is_known_(std::move(is_known)) {}

  // Not copyable, because calls store pointers to the entries of their owners.
  server_figures(const server_figures&) = delete;
  server_figures& operator=(const server_figures&) = delete;
  server_figures(server_figures&&) = default;
  server_figures& operator=(server_figures&&) = default;
  ~server_figures() = default;

  double started_at() const noexcept { return started_at_; }

  // Batches.

  /// A run begins. `totals` contain the results of earlier runs, which are not counted again.
  void batch_began(std::string_view batch, std::string_view owner, const job_totals& totals,
                   double unix_now);
  /// Updates the totals of a running batch.
  void batch_progressed(std::string_view batch, const job_totals& totals, double unix_now);
  /// The run of the batch has ended. The batch may get another run.
  void batch_stopped(std::string_view batch, const job_totals& totals, double unix_now);
  /// The batch has ended.
  void batch_ended(store::batch_status with) { ++sums_.ended[with]; }
  /// Counts an error of the store.
  void store_failed() { ++sums_.store_errors; }

  // Interactive calls.

  /// Identifies a call's owner and model. It is valid for the lifetime of this object.
  using call_place = std::size_t;
  call_place call_began(const std::string& owner, const std::string& model, time_point now);
  /// A request to a relay begins for this call.
  void attempt_began(call_place call);
  /// `sent`: the relay may have received the request. `again`: it was not the first request for
  /// this call.
  void attempt_ended(call_place call, bool sent, bool again);
  void call_ended(call_place call, const call_end& end, double unix_now);
  /// Counts the usage of a call with a reply; nothing: unknown. May be called after the end of the
  /// call.
  void call_used(call_place call, const std::optional<token_usage>& tokens,
                 const std::optional<usd>& cost, double unix_now);

  // Sums over all clients. These numbers only grow, except `open`.

  struct model_sums {
    token_usage tokens;
    std::optional<usd> cost;  ///< nothing if nothing had a price
  };
  struct call_sums {
    std::uint64_t started = 0;
    std::uint64_t open = 0;  ///< calls without a complete answer so far
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t gone = 0;  ///< calls that ended because the client closed the connection
    std::uint64_t unpriced = 0;
    std::map<std::string, model_sums> models;
    std::map<std::string, std::uint64_t> errors;
    time_classes took;
    time_classes first_byte;
  };
  struct sums {
    // The lines of batches.
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::map<std::string, std::uint64_t> errors;
    std::map<store::batch_status, std::uint64_t> ended;  ///< number of batches by their last status
    call_sums calls;
    // Batches and calls together.
    std::uint64_t unpriced = 0;
    std::uint64_t attempts = 0;
    std::uint64_t retries = 0;
    std::map<std::string, model_sums> models;
    std::uint64_t store_errors = 0;
  };
  sums all() const;

  // The figures of one owner.

  /// The results in one step.
  struct step {
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;
    std::int64_t tokens = 0;
  };
  struct recent_hour {
    std::int64_t begins_at = 0;  ///< Unix time of the first step, a multiple of step_s
    std::vector<step> steps;     ///< the last step has not ended
  };
  /// Returns the results of batches and calls since the start of the server, but at most of one
  /// hour.
  recent_hour recent(std::string_view owner, double unix_now) const;

  /// Returns the failures of all batches that ran here, including those of their runs before the
  /// start.
  std::map<std::string, std::uint64_t> batch_errors(std::string_view owner) const;

  struct owner_calls {
    std::uint64_t started = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t open = 0;
    std::uint64_t in_flight = 0;  ///< the part of `open` that is at a relay now
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t gone = 0;
    std::uint64_t unpriced = 0;
    token_usage tokens;
    usd cost;
    std::map<std::string, job_totals::share> models;  ///< successes by model
    std::map<std::string, std::uint64_t> errors;
  };
  owner_calls calls(std::string_view owner, time_point now) const;

  struct batch_figures {
    store::batch_progress progress;
    std::map<std::string, job_totals::share> models;
    std::map<std::string, std::uint64_t> errors;
    std::uint64_t attempts = 0;
    std::uint64_t retries = 0;
  };
  /// Returns the figures of a batch; null if none of its runs is known. Valid until the next
  /// change.
  const batch_figures* batch(std::string_view id) const;

 private:
  static constexpr std::size_t seconds = 60;
  /// The number of starts in each second of the last minute.
  struct minute {
    std::array<std::uint32_t, seconds> starts{};
    std::int64_t second = 0;  // second of the last start
    void advance(time_point now);
    void add(time_point now);
    std::uint64_t sum() const;
  };
  struct watched {
    std::string owner;
    batch_figures now;
    double at = 0;  // time of the last report
    bool running = false;
  };
  struct owner_figures {
    std::int64_t last_step = 0;  // number of the newest step, counted from 1970
    std::array<step, most_steps> steps{};
    std::map<std::string, std::uint64_t> old_errors;  // errors of batches that were forgotten
    owner_calls calls;
    minute starts;
    std::map<std::string, call_place> places;  // by model
  };
  // The calls of one owner to one model, with the figures that each call changes.
  struct call_row {
    owner_figures* owner;
    std::string model;    // name for the owner
    std::string counted;  // name in the sums over all clients
    job_totals::share used;
    std::uint64_t unpriced = 0;
  };

  void take(watched& one, const job_totals& totals, double unix_now);
  void add(owner_figures& to, const step& done, double from, double until);
  void add_to_sums(const batch_figures& before, const batch_figures& now);
  std::string counted_as(const std::string& model);
  void forget_old();
  static void add_share(model_sums& to, const job_totals::share& more);
  static void move_to(owner_figures& to, std::int64_t number);

  double started_at_;
  std::function<bool(std::string_view)> is_known_;
  sums sums_;
  std::map<std::string, watched, std::less<>> batches_;
  std::deque<std::string> order_;  // ids of batches, oldest first
  std::map<std::string, owner_figures, std::less<>> owners_;
  std::vector<call_row> calls_;
};

}  // namespace sluice::server
