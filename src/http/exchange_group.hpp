#pragma once

#include <functional>
#include <list>
#include <utility>

namespace sluice {

/// The exchanges of one run, which can be stopped together; their clients may differ. Not thread
/// safe: use it on the event loop's thread. It must outlive its exchanges.
class exchange_group {
 public:
  exchange_group() = default;
  exchange_group(const exchange_group&) = delete;
  exchange_group& operator=(const exchange_group&) = delete;

  /// No exchange of the group may begin to send: one that has not begun ends as unreachable.
  void stop_sending() {
    sending_ = false;
    call(&member::on_stop_);
  }
  /// Ends all active exchanges at once, as broken. Their errors say nothing about the relay.
  void abort() {
    aborted_ = true;
    call(&member::on_abort_);
  }
  bool sending() const noexcept { return sending_; }
  bool aborted() const noexcept { return aborted_; }

  /// Registers an exchange with its group while in scope; used by clients.
  class member {
   public:
    /// `on_stop`: must end the exchange if it has not begun to send; `on_abort`: must end it.
    /// Neither may end another exchange of the group before it returns.
    member(exchange_group* of, std::function<void()> on_stop, std::function<void()> on_abort)
        : group_(of), on_stop_(std::move(on_stop)), on_abort_(std::move(on_abort)) {
      if (group_ != nullptr) place_ = group_->members_.insert(group_->members_.end(), this);
    }
    member(const member&) = delete;
    member& operator=(const member&) = delete;
    ~member() {
      if (group_ != nullptr) group_->members_.erase(place_);
    }

   private:
    friend class exchange_group;
    exchange_group* group_;
    std::function<void()> on_stop_;
    std::function<void()> on_abort_;
    std::list<member*>::iterator place_;
  };

 private:
  void call(std::function<void()> member::*what) {
    for (member* one : members_) (one->*what)();
  }

  std::list<member*> members_;
  bool sending_ = true;
  bool aborted_ = false;
};

}  // namespace sluice
