#pragma once

#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "sluice/request_source.hpp"

namespace sluice::simulation {

/// A source that lets the engine's reader thread run only while the event loop waits. Otherwise the
/// order of events would depend on the thread scheduler.
class lockstep_source final : public request_source {
 public:
  explicit lockstep_source(request_source& behind) : behind_(behind) {}

  std::optional<request> next() override {
    thread_local thread_end thread;
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

  /// Lets the reader read all requests, and waits until the reader has ended.
  void read_all() {
    let_go();
    gone_->get_future().wait();
  }

 private:
  // Thread local: destroyed when the reader's thread ends, after the thread's last notification.
  struct thread_end {
    std::shared_ptr<std::promise<void>> gone;
    thread_end() = default;
    thread_end(const thread_end&) = delete;
    thread_end& operator=(const thread_end&) = delete;
    ~thread_end() {
      if (gone) gone->set_value();
    }
  };

  void let_go() {
    if (!std::exchange(released_, true)) go_.set_value();
  }

  request_source& behind_;
  std::promise<void> go_;
  std::shared_ptr<std::promise<void>> gone_ = std::make_shared<std::promise<void>>();
  bool released_ = false;  // used only by the event loop's thread
};

}  // namespace sluice::simulation
