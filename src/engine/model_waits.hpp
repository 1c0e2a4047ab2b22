#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "async/wait_queue.hpp"
#include "engine/model_outages.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// The requests that wait because their model is out. Not thread safe: use it on the event loop's
/// thread.
class model_waits {
 public:
  model_waits(clock& time, const model_outages::options& settings);
  model_waits(const model_waits&) = delete;
  model_waits& operator=(const model_waits&) = delete;
  ~model_waits();

  using state = model_outages::state;
  /// What a request for the model may do now. A caller that makes the trial must report its end.
  state ask(std::string_view model);
  bool is_out(std::string_view model) const { return waiting_.find(model) != waiting_.end(); }
  /// Waits until ask() may give another answer.
  boost::asio::awaitable<void> wait(const std::string& model);
  /// Number of requests in wait().
  std::size_t waiting() const noexcept;

  /// A relay answered that the model has no upstream; `words` is its message. True: this begins an
  /// outage.
  bool refused(const std::string& model, bool was_trial, const std::string& words);
  std::string words(std::string_view model) const;  ///< message of the last refusal
  /// Number of requests of the job that the model has served in this run.
  std::uint64_t answers(std::size_t job, std::string_view model) const;
  void served(std::size_t job, const std::string& model) { ++answers_[model][job]; }
  /// An attempt that started at `started` showed that the model works. True: this ends an outage.
  bool answered(const std::string& model, time_point started);
  void trial_wasted(const std::string& model);
  void trial_unmade(const std::string& model);
  bool given_up(std::string_view model);

  void wake_all();

 private:
  struct line {
    wait_queue waiting;
    clock::timer timer = 0;
    std::string words;
  };
  void follow(const std::string& model);
  void cancel_timer(line& of);

  clock& time_;
  model_outages outages_;
  std::map<std::string, std::map<std::size_t, std::uint64_t>, std::less<>> answers_;  // by job
  std::map<std::string, std::unique_ptr<line>, std::less<>> waiting_;  // by model that is out
};

}  // namespace sluice
