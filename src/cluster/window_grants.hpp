#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/background.hpp"
#include "cluster/job_store.hpp"
#include "sluice/clock.hpp"
#include "upstream/shared_limit.hpp"

namespace sluice::cluster {

/// The limits that this process shares with other machines through a job store. Not thread safe:
/// use it on the event loop's thread. It holds grants of starts, and renews them about once a
/// second while there is work. Without a valid grant nothing starts. It must outlive the engine
/// that uses it, and work() must have ended before it is destroyed.
class window_grants final : public shared_limits {
 public:
  struct setup {
    boost::asio::io_context& loop;
    clock& time;
    job_store& store;
    background& threads;
    std::string worker;  ///< name of the worker, different from that of every other process
    /// Receives a sentence for the user.
    std::function<void(const std::string&)> say;
    /// Returns the time since a fixed moment, including the time while the machine sleeps.
    std::function<std::chrono::nanoseconds()> awake_or_asleep = time_since_boot;
  };
  /// How long a grant is valid: a worker that cannot reach the database stops after this time.
  static constexpr std::chrono::milliseconds valid{3000};

  explicit window_grants(setup parts);
  ~window_grants() override;

  shared_limit& open(const std::string& window, std::uint64_t per_minute,
                     std::uint64_t tokens_per_minute, duration margin, duration reach) override;

  /// Renews the grants until stop(), then returns the unused starts.
  boost::asio::awaitable<void> work();
  void stop();

  static std::chrono::nanoseconds time_since_boot();

 private:
  class window;
  boost::asio::awaitable<void> follow(window& one);

  setup parts_;
  std::vector<std::unique_ptr<window>> windows_;
  bool stopping_ = false;
  bool complained_ = false;
};

}  // namespace sluice::cluster
