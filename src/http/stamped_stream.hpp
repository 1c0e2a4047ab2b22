#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <utility>

#include "sluice/clock.hpp"

namespace sluice {

/// A socket stream that can also give the time when the kernel received the last bytes, so that
/// delays of this program do not count. Not thread safe. A stream layer for Asio, with or without
/// TLS above it.
class stamped_stream {
 public:
  using lowest_layer_type = boost::asio::ip::tcp::socket;
  using executor_type = lowest_layer_type::executor_type;
  using error_code = boost::system::error_code;

  stamped_stream(lowest_layer_type& socket, clock& time) : socket_(socket), time_(time) {}

  executor_type get_executor() { return socket_.get_executor(); }
  lowest_layer_type& lowest_layer() noexcept { return socket_; }

  /// Turns timestamps on; the socket must be open. Costs a few system calls for each read.
  void stamp() {
    if (std::exchange(stamps_, true)) return;
    constexpr int on = 1;
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    arrived_ = time_.now();
  }
  bool stamps() const noexcept { return stamps_; }
  /// When the last byte read arrived.
  time_point arrived() const noexcept { return arrived_; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    // TLS reads 0 bytes to get a callback.
    if (!stamps_ || boost::asio::buffer_size(into) == 0) {
      return socket_.async_read_some(into, std::forward<Token>(token));
    }
    return boost::asio::async_compose<Token, void(error_code, std::size_t)>(
        read{*this, *boost::asio::buffer_sequence_begin(into)}, token, socket_);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    return socket_.async_write_some(from, std::forward<Token>(token));
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& from, error_code& error) {
    return socket_.write_some(from, error);
  }

 private:
  struct read {
    template <typename Self>
    void operator()(Self& self) {
      from.socket_.async_wait(lowest_layer_type::wait_read, std::move(self));
    }
    template <typename Self>
    void operator()(Self& self, error_code error) {
      const std::size_t n = error ? 0 : from.receive(into, error);
      if (error == boost::asio::error::would_block) return (*this)(self);
      self.complete(error, n);
    }
    stamped_stream& from;
    boost::asio::mutable_buffer into;
  };

  std::size_t receive(boost::asio::mutable_buffer into, error_code& error) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> control{};
    iovec place{into.data(), into.size()};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t n = 0;
    do {
      n = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      error = error_code(errno, boost::system::system_category());
      return 0;
    }
    if (n == 0) error = boost::asio::error::eof;
    note_arrival(message);
    return static_cast<std::size_t>(n);
  }

  // The kernel gives the time of the wall clock, which may have been changed meanwhile. So the
  // result is limited to the range from the previous arrival to now.
  void note_arrival(msghdr& message) {
    const time_point now = time_.now();
    time_point when = now;
    for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
      if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_TIMESTAMPNS) continue;
      timespec stamp{};
      std::memcpy(&stamp, CMSG_DATA(one), sizeof stamp);
      timespec wall{};
      ::clock_gettime(CLOCK_REALTIME, &wall);
      when = now - (std::chrono::seconds(wall.tv_sec - stamp.tv_sec) +
                    std::chrono::nanoseconds(wall.tv_nsec - stamp.tv_nsec));
    }
    arrived_ = std::clamp(when, arrived_, now);
  }

  lowest_layer_type& socket_;
  clock& time_;
  bool stamps_ = false;
  time_point arrived_{};
};

}  // namespace sluice
