#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "async/wait_queue.hpp"
#include "upstream/attempt.hpp"

namespace sluice::server {

/// Takes a relay's reply from an attempt and gives it to the coroutine that writes to the client:
/// each piece at once, and only as fast as the client reads. It collects an error completely first,
/// because the error may be a reason for another attempt. Not thread safe: use it on the event
/// loop's thread.
class reply_pipe : public attempt_observer {
 public:
  /// If this number of bytes waits for the client, reading from the relay stops.
  static constexpr std::size_t most_waiting = std::size_t{64} * 1024;
  static constexpr std::size_t longest_error = std::size_t{1} << 20;

  /// Calls `act` when a reply begins that is not an error.
  void on_begin(std::function<void()> act) { begin_ = std::move(act); }

  void on_head(const response_head& head) override;
  void on_body(std::string_view bytes) override;
  std::size_t held() const override { return bytes_.size(); }
  bool wants_rest() const override { return !is_error() && !done_; }
  bool has_room() override { return is_error() || bytes_.size() < most_waiting; }
  wait_queue* room_signal() override { return &room_; }

  /// Ends the reply: the attempt is over. `whole`: the body is complete.
  void end(bool whole) {
    ended_ = true;
    whole_ = whole;
    news_.wake_all();
  }

  bool has_head() const noexcept { return head_.status != 0; }
  const response_head& head() const noexcept { return head_; }
  bool is_error() const noexcept { return head_.status >= 400; }
  bool has_bytes() const noexcept { return !bytes_.empty(); }
  bool ended() const noexcept { return ended_; }
  bool ended_whole() const noexcept { return ended_ && whole_; }
  /// Returns the bytes that wait for the client, and removes them.
  std::string take() {
    room_.wake_all();
    return std::exchange(bytes_, {});
  }
  /// Returns when something has changed.
  boost::asio::awaitable<void> news() { return news_.wait(); }

 private:
  std::function<void()> begin_;
  response_head head_;
  std::string bytes_;
  std::string tail_;  // the last bytes of a stream
  bool stream_ = false;
  bool done_ = false;  // a stream has sent its end mark
  bool ended_ = false;
  bool whole_ = false;
  wait_queue news_;
  wait_queue room_;
};

}  // namespace sluice::server
