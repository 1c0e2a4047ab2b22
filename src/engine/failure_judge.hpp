#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/wait_queue.hpp"
#include "engine/job_queue.hpp"
#include "sluice/clock.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/request_source.hpp"
#include "upstream/repeated_failures.hpp"

namespace sluice {

/// Whose is a final failure: the request's own, its job's, or the key's? Holds back what reads the
/// same for one request after the other (repeated_failures), has the last few taken from elsewhere
/// in the job, and lets go what a success, or the end of the run, settles.
///
/// Belongs to the event loop's thread.
class failure_judge {
 public:
  using row = repeated_failures::row;
  enum class fate : std::uint8_t {
    own,        ///< the request's: its failure is its result
    unsettled,  ///< nothing tells: it is written, and a later run tries it again
    again,      ///< it was none of the request's: another attempt is made
    pending,    ///< nothing is written for it
  };
  /// What a row consists of so far.
  struct evidence {
    unsigned count = 0;
    std::size_t relay = 0;  ///< of the last failure
    std::size_t job = 0;
    std::string model;
    std::string words;
    bool sampled = false;  ///< requests from elsewhere have been taken for it
    time_point since{};    ///< the first failure
  };
  /// What the judge has others do.
  struct orders {
    /// Sends a request of a sample, whose number it is given, before all others.
    std::function<void(request&&, unsigned)> send;
    /// The row is long enough: ends its job or its relay. Settles the row.
    std::function<void(const row&, const evidence&)> conclude;
    /// The source looks ahead, and the run must not end before it has answered; or it has.
    std::function<void(bool)> looking;
  };

  failure_judge(boost::asio::any_io_executor loop, request_source& source, job_queue& queue,
                orders given);

  /// A request of the job has succeeded.
  void succeeded(std::size_t job);
  /// A request, of this run or of another, has succeeded at the relay by an attempt that started
  /// then: one that was on its way when the relay's refusals began says nothing of them.
  void relay_served(std::size_t relay, time_point started);
  struct seen {
    row in;               ///< of no rule: the failure is the request's own
    bool enough = false;  ///< the row should be concluded
  };
  /// A request has failed for good at the relay, which has `served` others, and is
  /// `alone`: no other relay could take its requests. `sample`: that it belongs to, 0: none; it
  /// counts as returned where the failure is in a row.
  seen failed(const request& asked, std::size_t relay, bool served, bool alone, const failure& why,
              unsigned sample, time_point now);
  void conclude(const row& in);
  boost::asio::awaitable<fate> wait(const row& in);
  void settle(const row& in, fate what);
  /// The run ends, and nothing more can tell: each row is settled by its rule.
  void settle_at_the_end();
  void settle_all(fate what);
  std::size_t waiting() const noexcept;

  /// While a sample is under way, nothing else starts.
  bool holds_back(unsigned sample) const noexcept { return sampling_ != 0 && sample != sampling_; }
  boost::asio::awaitable<void> sample_over() { return others_.wait(); }
  /// A request of a sample has its result, stays pending, or waits for something else.
  void sample_ended(unsigned sample);
  bool is_looking() const noexcept { return looking_ > 0; }

 private:
  struct group {
    wait_queue waiting;
    fate settled = fate::own;
  };
  bool has_succeeded(std::size_t job) const;
  void release(const row& in, fate what);
  static bool is_enough(const row& in, const evidence& so_far);
  static fate without_proof(const row& in);
  void begin_sample(const row& in, std::size_t job);
  void take_sample(std::vector<request>&& taken, std::size_t job, unsigned number);
  void end_sample();
  void sample_returned();

  boost::asio::any_io_executor loop_;
  request_source& source_;
  job_queue& queue_;
  orders orders_;
  repeated_failures rows_;
  std::map<row, evidence> evidence_;
  std::map<row, std::shared_ptr<group>> held_;
  std::set<std::size_t> succeeded_;  // jobs, in this run
  unsigned sampling_ = 0;            // number of the sample under way; 0: none
  unsigned last_sample_ = 0;
  row sampled_for_;
  std::size_t left_ = 0;     // of the sample, without an end
  std::size_t looking_ = 0;  // questions that the source has not answered
  wait_queue others_;        // requests that wait for its end
};

}  // namespace sluice
