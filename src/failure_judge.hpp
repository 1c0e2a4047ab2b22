#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "job_queue.hpp"
#include "repeated_failures.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/request_source.hpp"
#include "wait_queue.hpp"

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
  struct opinion {
    enum class next : std::uint8_t { own, hold, conclude } what = next::own;
    row in;
    unsigned count = 0;  ///< failures that read the same
  };

  /// `send`: sends a request of a sample, whose number it is given, before all others.
  failure_judge(boost::asio::any_io_executor loop, request_source& source, job_queue& queue,
                std::function<void(request&&, unsigned)> send);

  /// A request of the job has succeeded at the relay.
  void succeeded(std::size_t job, std::size_t relay);
  /// A request has failed for good at the relay, which has `served` others in this run, and is
  /// `alone`: no other relay could take its requests. `sample`: that it belongs to; 0: none. The
  /// caller waits where the opinion is `hold`, and ends the job or the relay where it is
  /// `conclude`.
  opinion failed(const request& asked, std::size_t relay, bool served, bool alone,
                 const failure& why, unsigned sample);
  boost::asio::awaitable<fate> wait(const row& in);
  void settle(const row& in, fate what);
  /// The run ends, and nothing more can tell: a row is settled by its rule.
  void settle_at_the_end();
  void settle_all(fate what);
  std::size_t waiting() const noexcept;

  /// While a sample is under way, nothing else starts.
  bool holds_back(unsigned sample) const noexcept { return sampling_ != 0 && sample != sampling_; }
  boost::asio::awaitable<void> sample_over() { return others_.wait(); }
  std::size_t held_back() const noexcept { return others_.size(); }
  /// A request of a sample has its result, or stays pending.
  void sample_ended(unsigned sample);

  bool has_succeeded(std::size_t job) const;

 private:
  struct group {
    wait_queue waiting;
    fate settled = fate::own;
  };
  void release(const row& in, fate what);
  static fate without_proof(const row& in);
  void begin_sample(std::size_t job);
  void take_sample(std::vector<request>&& taken, unsigned number);
  void end_sample();

  boost::asio::any_io_executor loop_;
  request_source& source_;
  job_queue& queue_;
  std::function<void(request&&, unsigned)> send_;
  repeated_failures rows_;
  std::map<row, std::shared_ptr<group>> held_;
  std::set<std::size_t> succeeded_;  // jobs, in this run
  unsigned sampling_ = 0;            // number of the sample under way; 0: none
  unsigned last_sample_ = 0;
  std::size_t left_ = 0;  // of the sample, without an end
  wait_queue others_;     // requests that wait for its end
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace sluice
