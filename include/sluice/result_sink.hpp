#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// One attempt of a run, as it is recorded. The view is valid for the call alone.
struct attempt_record {
  std::size_t job = 0;
  std::string_view custom_id;
  std::uint32_t number = 1;  ///< over the life of the request: its first is 1
  usd most;                  ///< the most that it can cost, reserved of the budget; zero: no budget
};

/// How an attempt ended that has no result.
enum class attempt_end : std::uint8_t {
  unsent,    ///< not a byte of it went out: it was none
  answered,  ///< refused with an HTTP error, or not sent whole: nobody bills that
  given_up,  ///< refused with the HTTP error of a gateway that waits no longer for its upstream
  lost,      ///< sent whole, and ended in neither a result nor an HTTP error: maybe billed
  unpriced,  ///< it has a result whose cost is unknown, or only estimated
};

/// How an attempt ended that an HTTP error answered. Behind 408, 504 and 524 (Cloudflare's "A
/// Timeout Occurred") the upstream may go on, and bill: what was reserved for it is kept.
constexpr attempt_end end_by_status(int status) noexcept {
  return status == 408 || status == 504 || status == 524 ? attempt_end::given_up
                                                         : attempt_end::answered;
}
/// Whether the most that the attempt can cost counts as spent.
constexpr bool keeps_reservation(attempt_end how) noexcept {
  return how == attempt_end::given_up || how == attempt_end::lost || how == attempt_end::unpriced;
}

/// Whether the budget takes one attempt more.
enum class funds : std::uint8_t {
  reserved,  ///< yes, and it is reserved
  wait,      ///< not before one of those in flight is settled
  spent,     ///< no, and nothing is left to settle
};

/// Where a run puts what it finds out. Called from the event loop's thread alone. May throw
/// fatal_error when results cannot be written.
class result_sink {
 public:
  virtual ~result_sink() = default;

  /// Asks for the money of one attempt of the request. What is reserved is given back by
  /// unreserve(), or settled by how the attempt ends.
  virtual funds reserve(const request& next) {
    (void)next;
    return funds::reserved;
  }
  virtual void unreserve(const request& next) { (void)next; }

  /// An attempt is about to go out; called before its first byte does.
  virtual void attempt_started(const attempt_record& attempt) = 0;
  /// Whether what attempt_started() recorded must be on the disk before anything is sent.
  virtual bool must_be_recorded() const { return false; }
  /// Brings what was recorded to the disk and calls `done`, from any thread, with the fault when
  /// that could not be done.
  virtual void record(const std::function<void(std::exception_ptr)>& done) { done(nullptr); }
  /// It ended, and has no result.
  virtual void attempt_ended(const attempt_record& attempt, attempt_end how) = 0;

  /// The result of a request, and of its last attempt.
  virtual void put(result&& finished) = 0;
  /// What was put stands in the files when this returns. When it throws, what could not be written
  /// is kept, and tried again by the next call.
  virtual void flush() = 0;
  /// Whether who brought a result sends nothing more before that is on the disk.
  virtual bool must_be_durable() const { return false; }
  /// Brings what stands in the files to the disk and calls `done`, from any thread, with the fault
  /// when that could not be done. Asked for where results must be durable.
  virtual void make_durable(const std::function<void(std::exception_ptr)>& done) { done(nullptr); }
  /// Has what stands in the files brought to the disk, where it need not be waited for; called a
  /// second after a flush() at the latest.
  virtual void sync() {}
};

}  // namespace sluice
