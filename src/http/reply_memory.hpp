#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "async/wait_queue.hpp"

namespace sluice {

/// Limits the memory of all replies in flight together. Not thread safe: use it on the event loop's
/// thread.
///
/// When the replies together reach the limit, the client reads a reply that needs more memory only
/// after other replies have ended. One reply at a time is favoured: it continues anyway, so that at
/// least one can always end. Its own size limit still applies.
class reply_memory {
 public:
  explicit reply_memory(std::uint64_t most) : most_(most) {}
  reply_memory(const reply_memory&) = delete;
  reply_memory& operator=(const reply_memory&) = delete;

  /// The memory of one reply, counted for the lifetime of this object.
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

    /// Sets the number of bytes that the reply uses now.
    void hold(std::uint64_t bytes) {
      of_->total_ += bytes - held_;
      held_ = bytes;
    }
    /// Whether the reply may use more.
    bool has_room() {
      const bool room = of_->total_ <= of_->most_;
      if (room && of_->favoured_ == this) of_->favoured_ = nullptr;
      if (!room && of_->favoured_ == nullptr) of_->favoured_ = this;
      return room || of_->favoured_ == this;
    }
    /// Returns when the reply may be able to use more memory. It waits on `line`, so it also
    /// returns when something else wakes `line`.
    boost::asio::awaitable<void> wait(wait_queue& line) {
      return wait_queue::wait_in_both(of_->waiting_, line);
    }

   private:
    const std::shared_ptr<reply_memory> of_;
    std::uint64_t held_ = 0;
  };

  std::uint64_t total() const noexcept { return total_; }

 private:
  // Wakes all waiters if there is room. Otherwise it wakes the first one, which may become the
  // favoured one.
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
