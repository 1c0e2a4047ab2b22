#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "async/sleeper.hpp"
#include "async/wait_queue.hpp"
#include "loadtest/find_limit/limit_finder.hpp"
#include "loadtest/spending.hpp"
#include "loadtest/target.hpp"
#include "sluice/clock.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice::bench {

/// Sends the calls that a limit_finder asks for, through the target's gate, whose limit is the
/// ceiling. So all runs count these starts. Not thread safe: use it on the event loop's thread. One
/// object runs only once.
class limit_search {
 public:
  struct options {
    limit_finder::options finder;
    std::string id;                 ///< prefix of the Idempotency-Keys; different for each search
    duration max_wait{};            ///< if the relay asks for a longer pause, the search ends
    limit_store* window = nullptr;  ///< where the starts of all runs are counted; null: nowhere
    duration window_margin{};
  };

  /// All references must outlive this object.
  limit_search(boost::asio::any_io_executor loop, clock& time, target& of, spending& money,
               const options& chosen);
  limit_search(const limit_search&) = delete;
  limit_search& operator=(const limit_search&) = delete;

  boost::asio::awaitable<void> run();
  /// Starts no more calls. The result is what is known so far.
  void stop(const std::string& why);

  std::uint64_t requests() const noexcept { return sent_; }
  /// Why it ended without a result; empty: it did not.
  const std::string& why_stopped() const noexcept { return stopped_; }
  /// It waits until the starts of earlier runs no longer count.
  bool is_waiting_for_others() const noexcept { return waiting_for_others_; }
  /// The member `limit` of a document.
  nlohmann::ordered_json to_json() const;

 private:
  struct head_watch;

  boost::asio::awaitable<void> wait_for_clean_window();
  boost::asio::awaitable<void> start_one();
  boost::asio::awaitable<void> call(request asked, start_gate::permit turn,
                                    limit_finder::call_id id);

  boost::asio::any_io_executor loop_;
  clock& time_;
  target& target_;
  spending& money_;
  options options_;
  limit_finder finder_;
  std::string stopped_;
  std::uint64_t sent_ = 0;
  std::size_t in_flight_ = 0;
  std::optional<usd> cost_;
  bool waiting_for_others_ = false;
  bool over_ = false;
  wait_queue changed_;
  clock::timer alarm_ = 0;
  std::exception_ptr fault_;
};

}  // namespace sluice::bench
