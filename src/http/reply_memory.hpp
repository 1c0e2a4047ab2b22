#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "async/wait_queue.hpp"

namespace sluice {

/// What all replies on their way may hold together. One that would pass it waits, and its relay
/// with it, until others have ended. One at a time is favoured and goes on all the same, so that
/// there is always one that comes to its end; its own limit bounds it.
///
/// Belongs to the event loop's thread.
class reply_memory {
 public:
  explicit reply_memory(std::uint64_t most) : most_(most) {}
  reply_memory(const reply_memory&) = delete;
  reply_memory& operator=(const reply_memory&) = delete;

  /// What one reply holds, for as long as it lives.
  class share {
   public:
    explicit share(std::shared_ptr<reply_memory> of) : of_(std::move(of)) {}
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    ~share() {
      hold(0);
      if (of_->favoured_ == this) of_->favoured_ = nullptr;
      of_->wake();
    }

    /// It holds as much now.
    void hold(std::uint64_t bytes) {
      of_->total_ += bytes - held_;
      held_ = bytes;
    }
    /// Whether it may take more.
    bool has_room() {
      const bool room = of_->total_ <= of_->most_;
      if (room && of_->favoured_ == this) of_->favoured_ = nullptr;
      if (!room && of_->favoured_ == nullptr) of_->favoured_ = this;
      return room || of_->favoured_ == this;
    }
    /// Returns when it may take more; or when `line`, on which it waits, is woken by another.
    boost::asio::awaitable<void> wait(wait_queue& line) {
      return wait_queue::wait_in_both(of_->waiting_, line);
    }

   private:
    const std::shared_ptr<reply_memory> of_;
    std::uint64_t held_ = 0;
  };

  std::uint64_t total() const noexcept { return total_; }

 private:
  // All of them where there is room, else whoever came first.
  void wake() {
    if (total_ <= most_) return waiting_.wake_all();
    if (favoured_ == nullptr) waiting_.wake_one();
  }

  const std::uint64_t most_;
  std::uint64_t total_ = 0;
  const share* favoured_ = nullptr;
  wait_queue waiting_;
};

}  // namespace sluice
