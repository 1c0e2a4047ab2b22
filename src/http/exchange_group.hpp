#pragma once

#include <functional>
#include <list>
#include <utility>

namespace sluice {

/// Exchanges that are ended together, whatever client carries them out: those of one run. Belongs
/// to the event loop's thread, and outlives its exchanges.
class exchange_group {
 public:
  exchange_group() = default;
  exchange_group(const exchange_group&) = delete;
  exchange_group& operator=(const exchange_group&) = delete;

  /// From now on none of them begins to send: one that has not yet ends as unreachable.
  void stop_sending() {
    sending_ = false;
    call(&member::on_stop_);
  }
  /// Ends those under way as broken, at once. What they end with says nothing of the relay.
  void abort() {
    aborted_ = true;
    call(&member::on_abort_);
  }
  bool sending() const noexcept { return sending_; }
  bool aborted() const noexcept { return aborted_; }

  /// One exchange, in its group while in scope; for clients.
  class member {
   public:
    /// `on_stop`: nothing may be sent any more, where it has not begun to; `on_abort`: it ends.
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
