#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// One attempt of a run, for the records. `custom_id` is valid only during the call.
struct attempt_record {
  std::size_t job = 0;
  std::string_view custom_id;
  std::uint32_t number = 1;  ///< counts all attempts of the request, in all runs, from 1
  usd most;                  ///< reserved from the budget: the most it can cost; zero: no budget
};

/// How an attempt ended that produced no result (except `unpriced`).
enum class attempt_end : std::uint8_t {
  unsent,    ///< nothing was sent; it does not count as an attempt
  answered,  ///< an HTTP error, or not sent completely: not billed
  given_up,  ///< the HTTP error of a gateway that timed out; the upstream may still bill it
  lost,      ///< sent completely, with neither a result nor an HTTP error: maybe billed
  unpriced,  ///< it has a result whose cost is unknown or only estimated
};

/// How an attempt ended that got an HTTP error. After 408, 504 and 524 (Cloudflare's "A Timeout
/// Occurred") the upstream may still finish and bill the request, so its reservation is kept.
constexpr attempt_end end_by_status(int status) noexcept {
  return status == 408 || status == 504 || status == 524 ? attempt_end::given_up
                                                         : attempt_end::answered;
}
/// Whether the reservation of the attempt counts as spent.
constexpr bool keeps_reservation(attempt_end how) noexcept {
  return how == attempt_end::given_up || how == attempt_end::lost || how == attempt_end::unpriced;
}

/// Whether the budget allows another attempt.
enum class funds : std::uint8_t {
  reserved,  ///< yes; the money is reserved
  wait,      ///< not now; try again when an attempt in flight is settled
  spent,     ///< no, and no attempt in flight can free money
  never,     ///< do not send this request here; it stays pending, and the run goes on
};

/// The decision of a sink about a complete reply.
struct reply_verdict {
  enum class step : std::uint8_t {
    accept,   ///< it is the result
    again,    ///< it does not count; send the request again
    give_up,  ///< it does not count, and the request has failed
  };
  step next = step::accept;
  std::string reason;  ///< why it does not count
};

/// Receives the results of a run. Called only from the event loop's thread. May throw fatal_error
/// if results cannot be written.
class result_sink {
 public:
  virtual ~result_sink() = default;

  /// Reserves the money for one attempt of the request. The reservation is released by unreserve(),
  /// or settled when the attempt ends.
  virtual funds reserve(const request& next) {
    (void)next;
    return funds::reserved;
  }
  virtual void unreserve(const request& next) { (void)next; }

  /// An attempt is about to start; called before its first byte is sent.
  virtual void attempt_started(const attempt_record& attempt) = 0;
  /// Whether record() must be called, and call `done`, before anything is sent.
  virtual bool must_be_recorded() const { return false; }
  /// Writes the started attempts, then calls `done`, from any thread; with the error if it failed.
  virtual void record(const std::function<void(std::exception_ptr)>& done) { done(nullptr); }
  /// Whether a recorded attempt may be sent after all; false: its request stays pending.
  virtual bool may_send(const attempt_record& attempt) {
    (void)attempt;
    return true;
  }
  /// The attempt ended without a result.
  virtual void attempt_ended(const attempt_record& attempt, attempt_end how) = 0;

  /// Whether text() must be called.
  virtual bool wants_text() const { return false; }
  /// More text of the first choice of a streamed reply, as UTF-8, as it arrives. The attempt may
  /// still fail; the next one then starts the text again. Secrets of the relay are redacted.
  virtual void text(const attempt_record& attempt, std::string_view more) {
    (void)attempt;
    (void)more;
  }

  /// Whether examine() must be called.
  virtual bool examines_replies() const { return false; }
  /// Decides about a complete reply before it becomes the result of its request. If it does not
  /// count, its attempt has ended with this call, which keeps a record of its cost. For the next
  /// attempt it may change the body of `asked`, and with it the highest cost of an attempt.
  virtual reply_verdict examine(request& asked, const result& finished) {
    (void)asked;
    (void)finished;
    return {};
  }

  /// The run is done with the request, which has no result.
  virtual void left_pending(const request& left) { (void)left; }
  /// The result of a request, and of its last attempt.
  virtual void put(result&& finished) = 0;
  /// Writes all results from put() to the files. If it throws, the results that could not be
  /// written are kept, and the next call writes them.
  virtual void flush() = 0;
  /// Whether a worker must wait until its result is on disk before it sends another request.
  virtual bool must_be_durable() const { return false; }
  /// Syncs the files to disk, then calls `done`, from any thread; with the error if it failed.
  /// Called only if must_be_durable().
  virtual void make_durable(const std::function<void(std::exception_ptr)>& done) { done(nullptr); }
  /// Starts a sync of the files without waiting for it; called at most one second after a flush().
  virtual void sync() {}
};

}  // namespace sluice
