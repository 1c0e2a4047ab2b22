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

/// Where requests wait whose model is out. Belongs to the event loop's thread.
class model_waits {
 public:
  model_waits(clock& time, const model_outages::options& chosen);
  model_waits(const model_waits&) = delete;
  model_waits& operator=(const model_waits&) = delete;
  ~model_waits();

  using state = model_outages::state;
  /// What a request for the model may do now; one that may make the trial says how it ended.
  state ask(std::string_view model);
  bool is_out(std::string_view model) const { return waiting_.find(model) != waiting_.end(); }
  /// Waits until asking again may help.
  boost::asio::awaitable<void> wait(const std::string& model);

  /// A relay says that the model has no upstream, in these words. True: the outage begins with
  /// this.
  bool refused(const std::string& model, bool was_trial, const std::string& words);
  std::string words(std::string_view model) const;  ///< of the last refusal
  /// How often the model has served a request of the job in this run.
  std::uint64_t answers(std::size_t job, std::string_view model) const;
  void served(std::size_t job, const std::string& model) { ++answers_[model][job]; }
  /// An attempt that started then shows that the model is there. True: it was out.
  bool answered(const std::string& model, time_point started);
  void trial_wasted(const std::string& model);
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
  std::map<std::string, std::unique_ptr<line>, std::less<>> waiting_;  // of models that are out
};

}  // namespace sluice
