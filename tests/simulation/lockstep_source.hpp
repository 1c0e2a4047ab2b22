#pragma once

#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "sluice/request_source.hpp"

namespace sluice::simulation {

/// A source whose reader, a thread of the engine's own, runs while the event loop stands still, and
/// only then: what comes first would hang on the scheduler otherwise.
class lockstep_source final : public request_source {
 public:
  explicit lockstep_source(request_source& behind) : behind_(behind) {}

  std::optional<request> next() override {
    thread_local farewell thread;
    if (!thread.gone) {
      thread.gone = gone_;
      go_.get_future().wait();
    }
    return behind_.next();
  }
  void cancel() override {
    behind_.cancel();
    let_go();
  }
  std::string_view identity(std::size_t job) const override { return behind_.identity(job); }

  /// Has the reader read all there is, and end.
  void read_all() {
    let_go();
    gone_->get_future().wait();
  }

 private:
  // Goes with the reader's thread, when everything that it had to tell has been told.
  struct farewell {
    std::shared_ptr<std::promise<void>> gone;
    farewell() = default;
    farewell(const farewell&) = delete;
    farewell& operator=(const farewell&) = delete;
    ~farewell() {
      if (gone) gone->set_value();
    }
  };

  void let_go() {
    if (!std::exchange(released_, true)) go_.set_value();
  }

  request_source& behind_;
  std::promise<void> go_;
  std::shared_ptr<std::promise<void>> gone_ = std::make_shared<std::promise<void>>();
  bool released_ = false;  // of the event loop's thread
};

}  // namespace sluice::simulation
