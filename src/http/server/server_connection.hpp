#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "async/alarm.hpp"
#include "http/server/request_reader.hpp"
#include "http/server/server.hpp"
#include "sluice/clock.hpp"

namespace sluice::http_server {

/// The settings and objects that all connections of a server share.
struct connection_settings {
  server_options options;
  request_handler handler;
  refusal_form refusal;
};

/// One connection of a client: reads its requests one after another and answers them. Not thread
/// safe: use it on the event loop's thread.
class server_connection final : public exchange {
 public:
  /// `tls`: null for plain TCP. All references must outlive it.
  server_connection(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls,
                    clock& time, const connection_settings& settings);
  ~server_connection() override;
  server_connection(const server_connection&) = delete;
  server_connection& operator=(const server_connection&) = delete;

  /// Serves the connection, and returns when it is closed.
  boost::asio::awaitable<void> serve();
  /// Closes the connection after the reply to the current request; at once if there is no request.
  void close_when_idle();
  void abort();

  const request_head& head() const noexcept override { return reader_->head(); }
  boost::asio::awaitable<std::string_view> read_piece() override;
  boost::asio::awaitable<bool> send(int status, const header_fields& fields,
                                    std::string_view body) override;
  boost::asio::awaitable<bool> begin(int status, const header_fields& fields,
                                     std::optional<std::uint64_t> length) override;
  boost::asio::awaitable<bool> write(std::string_view piece) override;
  boost::asio::awaitable<bool> finish() override;
  void on_client_gone(std::function<void()> act) override;
  client_state client() override;
  bool acknowledged() override;
  boost::asio::awaitable<bool> write_raw(std::string_view first, std::string_view second) override;
  void end_raw(raw_end how) override;

 private:
  // How the body of the reply is framed.
  enum class framing : std::uint8_t { none, counted, chunked, until_close };

  boost::asio::awaitable<bool> shake_hands();
  boost::asio::awaitable<bool> answer_next();
  boost::asio::awaitable<bool> read_head();
  boost::asio::awaitable<bool> call_handler();
  boost::asio::awaitable<bool> drop_body();
  boost::asio::awaitable<void> refuse(int status, std::string_view message);
  boost::asio::awaitable<std::size_t> read_more();
  boost::asio::awaitable<bool> write_all(std::string head, std::string_view second = {});
  void look_at_client();
  boost::asio::awaitable<void> say_goodbye();

  std::string head_of(int status, const header_fields& fields, std::optional<std::uint64_t> length);
  std::string_view unread() const noexcept;
  void consume(std::size_t size) noexcept;
  void free_buffers();

  void expect_within(duration wait);
  void expect_nothing() noexcept { due_ = time_point::max(); }
  void ring();
  void cancel_alarm() noexcept;

  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  clock& time_;
  const connection_settings& settings_;
  const std::string peer_;

  // The buffer for received bytes. The bytes from `taken_` to `filled_` are not processed yet.
  std::string in_;
  std::size_t filled_ = 0;
  std::size_t taken_ = 0;
  std::string piece_;  // the current piece of the body

  std::unique_ptr<request_reader> reader_;
  bool idle_ = true;      // the connection is between two requests
  bool closing_ = false;  // the connection will be closed after the current reply
  bool timed_out_ = false;
  bool gone_ = false;  // the client has closed the connection, or this program has aborted it
  bool head_only_ = false;
  bool continued_ = false;  // `100 Continue` was sent
  bool replied_ = false;    // the head of the reply was sent
  bool complete_ = false;   // the reply is complete, unless `gone_`
  framing framing_ = framing::none;
  std::uint64_t left_ = 0;    // bytes that are left of a counted body
  std::size_t received_ = 0;  // bytes of the body since the current `body_timeout` began
  duration body_time_left_{};
  std::function<void()> client_gone_;
  std::shared_ptr<bool> watch_;  // false: on_client_gone() does not watch any more
  alarm watch_alarm_;

  time_point due_ = time_point::max();
  time_point alarm_at_{};
  clock::timer alarm_ = 0;
};

}  // namespace sluice::http_server
