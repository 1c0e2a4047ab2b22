#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "model_outages.hpp"
#include "sluice/clock.hpp"
#include "wait_queue.hpp"

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

  /// A relay says that the model has no upstream, in these words. False: it has never answered, and
  /// the request fails as others do. `began`: set when the outage begins with this.
  bool refused(const std::string& model, bool was_trial, bool answered_before,
               const std::string& words, bool& began);
  std::string words(std::string_view model) const;  ///< of the last refusal
  /// The model has answered in this run, or is out, which only such a model can be.
  bool has_answered(std::string_view model) const {
    return answered_.contains(model) || is_out(model);
  }
  /// An attempt that started then shows that the model is there; `served`: by a good reply, which
  /// alone makes it a model that can be out later. True: it was out.
  bool answered(const std::string& model, bool served, time_point started);
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
  std::set<std::string, std::less<>> answered_;                        // in this run
  std::map<std::string, std::unique_ptr<line>, std::less<>> waiting_;  // of models that are out
};

}  // namespace sluice
