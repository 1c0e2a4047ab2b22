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

/// Decides whether a final failure is caused by the request, its job or the key. Not thread safe:
/// use it on the event loop's thread.
///
/// It holds requests that fail with the same message one after another (repeated_failures), tries a
/// sample of requests from another part of the job, and releases the held requests when a success
/// or the end of the run decides the question.
class failure_judge {
 public:
  using row = repeated_failures::row;
  enum class fate : std::uint8_t {
    own,        ///< caused by the request: its failure is its result
    unsettled,  ///< undecided: the failure is written, and a later run tries it again
    again,      ///< not caused by the request: another attempt is made
    pending,    ///< nothing is written
  };
  /// The failures in a row so far; relay, job, model and words are those of the last one.
  struct evidence {
    unsigned count = 0;
    std::size_t relay = 0;
    std::size_t job = 0;
    std::string model;
    std::string words;
    bool sampled = false;  ///< a sample has been taken for it
    time_point since{};    ///< time of the first failure
  };
  /// Actions that the judge asks its owner to do.
  struct orders {
    /// Send a request of the sample with this number, before all others.
    std::function<void(request&&, unsigned)> send;
    /// The row is long enough: end its job or its relay, and settle the row.
    std::function<void(const row&, const evidence&)> conclude;
    /// True: the source starts to look ahead, and the run must not end; false: it is done.
    std::function<void(bool)> looking;
  };

  failure_judge(boost::asio::any_io_executor loop, request_source& source, job_queue& queue,
                orders actions);

  /// A request of the job has succeeded.
  void succeeded(std::size_t job);
  /// A request of any run has succeeded at the relay. `started`: start of its attempt; one that
  /// started before the refusals began proves nothing.
  void relay_served(std::size_t relay, time_point started);
  struct finding {
    row in;               ///< rule::none: the failure is the request's own
    bool enough = false;  ///< conclude() should be called for the row
  };
  /// A request has failed finally at the relay. `served`: the relay has served others; `alone`: no
  /// other relay could take its requests; `sample`: number of its sample, 0: none. If the failure
  /// is in a row, the request counts as returned to its sample.
  finding failed(const request& item, std::size_t relay, bool served, bool alone,
                 const failure& why, unsigned sample, time_point now);
  void conclude(const row& in);
  boost::asio::awaitable<fate> wait(const row& in);
  void settle(const row& in, fate what);
  /// The run ends, so nothing more can be found out: each row is settled by its rule.
  void settle_at_the_end();
  void settle_all(fate what);
  std::size_t waiting() const noexcept;

  /// While a sample is in progress, other requests must not start.
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
  void take_sample(std::vector<request>&& requests, std::size_t job, unsigned number);
  void end_sample();
  void sample_returned();

  boost::asio::any_io_executor loop_;
  request_source& source_;
  job_queue& queue_;
  orders orders_;
  repeated_failures rows_;
  std::map<row, evidence> evidence_;
  std::map<row, std::shared_ptr<group>> held_;
  std::set<std::size_t> succeeded_;  // jobs with a success in this run
  unsigned sampling_ = 0;            // number of the sample in progress; 0: none
  unsigned last_sample_ = 0;
  row sampled_for_;
  std::size_t left_ = 0;     // requests of the sample that have not ended
  std::size_t looking_ = 0;  // calls of look_ahead() that are not finished
  wait_queue others_;        // requests that wait for the end of the sample
};

}  // namespace sluice
