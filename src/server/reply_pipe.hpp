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
/// each piece at once, and no more than the client takes. An error is kept whole first, since it
/// may be a reason to try again. Not thread safe: use it on the event loop's thread.
class reply_pipe : public attempt_observer {
 public:
  /// Bytes that wait for the client, after which the relay has to wait, too.
  static constexpr std::size_t most_waiting = std::size_t{64} * 1024;
  static constexpr std::size_t longest_error = std::size_t{1} << 20;

  /// Calls `act` when a reply that is no error begins.
  void on_begin(std::function<void()> act) { begin_ = std::move(act); }

  void on_head(const response_head& head) override;
  void on_body(std::string_view bytes) override;
  std::size_t held() const override { return bytes_.size(); }
  bool wants_rest() const override { return !is_error() && !done_; }
  bool has_room() override { return is_error() || bytes_.size() < most_waiting; }
  wait_queue* room_signal() override { return &room_; }

  /// The attempt is over; nothing more comes. `whole`: the body came to its end.
  void end(bool whole) {
    ended_ = true;
    whole_ = whole;
    news_.wake_all();
  }

  bool has_head() const noexcept { return head_.status != 0; }
  const response_head& head() const noexcept { return head_; }
  bool is_error() const noexcept { return head_.status >= 400; }
  bool is_stream() const noexcept { return stream_; }
  bool has_bytes() const noexcept { return !bytes_.empty(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  bool ended() const noexcept { return ended_; }
  bool ended_whole() const noexcept { return ended_ && whole_; }
  /// The bytes that wait for the client.
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
  std::string tail_;  // of a stream: its last bytes
  bool stream_ = false;
  bool done_ = false;  // a stream has said that it is complete
  bool ended_ = false;
  bool whole_ = false;
  wait_queue news_;
  wait_queue room_;
};

}  // namespace sluice::server
