#include "http/server/server_connection.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/status.hpp>
#include <ctime>
#include <utility>
#include <variant>

namespace sluice::http_server {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr std::size_t read_size = std::size_t{16} * 1024;
constexpr std::size_t write_size = std::size_t{64} * 1024;
// The most bytes that are dropped of a body that the handler did not read. If the body is longer,
// closing the connection is cheaper.
constexpr std::size_t most_dropped = std::size_t{256} * 1024;
constexpr duration goodbye_timeout = std::chrono::seconds{2};
constexpr duration look_interval = std::chrono::seconds{1};

std::string address_of(const asio::ip::tcp::socket& socket) {
  error_code error;
  const auto peer = socket.remote_endpoint(error);
  return error ? std::string() : peer.address().to_string();
}

std::string_view reason_of(int status) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return {reason.data(), reason.size()};
}

// Returns the value of a Date field. All replies of one second share it, because formatting it
// costs more than the rest of a head.
std::string_view date_at(std::time_t now) {
  thread_local std::time_t written = -1;
  thread_local std::string text;
  if (std::exchange(written, now) != now) {
    text = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(now));
  }
  return text;
}

bool has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace

server_connection::server_connection(asio::ip::tcp::socket socket, ssl::context* tls, clock& time,
                                     const connection_settings& settings)
    : socket_(std::move(socket)),
      time_(time),
      settings_(settings),
      peer_(address_of(socket_)),
      watch_alarm_(time) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  if (tls != nullptr) tls_.emplace(socket_, *tls);
}

server_connection::~server_connection() {
  cancel_alarm();
  if (watch_) *watch_ = false;
}

// Timeouts use one alarm. When it rings, it checks `due_`. So most changes of the timeout cost
// nothing.

void server_connection::expect_within(duration wait) {
  timed_out_ = false;
  due_ = time_.now() + wait;
  if (alarm_ != 0 && alarm_at_ <= due_) return;
  cancel_alarm();
  alarm_at_ = due_;
  alarm_ = time_.call_at(due_, [this] { ring(); });
}

// An aborted connection may outlive the clock; it has no alarm any more.
void server_connection::cancel_alarm() noexcept {
  if (alarm_ != 0) time_.cancel(std::exchange(alarm_, 0));
}

void server_connection::ring() {
  alarm_ = 0;
  if (due_ == time_point::max()) return;
  if (time_.now() < due_) {
    alarm_at_ = due_;
    alarm_ = time_.call_at(due_, [this] { ring(); });
    return;
  }
  expect_nothing();
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void server_connection::abort() {
  gone_ = true;
  cancel_alarm();
  watch_alarm_.cancel();
  error_code ignored;
  socket_.close(ignored);
  if (client_gone_) std::exchange(client_gone_, nullptr)();
}

void server_connection::close_when_idle() {
  closing_ = true;
  if (!idle_ || !unread().empty()) return;
  error_code ignored;
  socket_.cancel(ignored);
}

std::string_view server_connection::unread() const noexcept {
  return std::string_view(in_).substr(taken_, filled_ - taken_);
}

void server_connection::consume(std::size_t size) noexcept {
  taken_ += size;
  if (taken_ == filled_) taken_ = filled_ = 0;
}

// Reads more bytes. Returns 0 if no more will come: the client has closed the connection, is too
// slow, or the connection is broken.
asio::awaitable<std::size_t> server_connection::read_more() {
  // The timeout may have passed just after bytes had arrived, when there was no read to cancel.
  if (timed_out_ || gone_) co_return 0;
  if (taken_ > 0) {
    in_.erase(0, taken_);
    filled_ -= std::exchange(taken_, 0);
  }
  in_.resize(filled_ + read_size);
  const auto room = asio::buffer(in_.data() + filled_, read_size);
  error_code error;
  std::size_t size = 0;
  if (tls_) {
    size = co_await tls_->async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
  } else {
    size = co_await socket_.async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
  }
  filled_ += size;
  co_return size;
}

// Takes `head` by value, to keep it until it is sent.
asio::awaitable<bool> server_connection::write_all(std::string head, std::string_view second) {
  if (gone_) co_return false;
  std::string_view first = head;
  error_code error;
  bool direct = !tls_;
  // The timeout applies to each piece that the client takes, not to the whole reply.
  while (!error && first.size() + second.size() > 0) {
    const std::string_view a = first.substr(0, write_size);
    const std::string_view b = second.substr(0, write_size - a.size());
    const std::array<asio::const_buffer, 2> bytes{asio::buffer(a.data(), a.size()),
                                                  asio::buffer(b.data(), b.size())};
    std::size_t written = 0;
    // Almost every reply fits into the socket's buffer, and a direct write saves a turn of the
    // event loop. The rest of a long reply is written asynchronously, so that other connections get
    // their turn.
    if (std::exchange(direct, false)) written = socket_.write_some(bytes, error);
    if (error == asio::error::would_block) error = {};
    if (written == 0 && !error) {
      expect_within(settings_.options.body_timeout);
      if (tls_) {
        written = co_await asio::async_write(*tls_, bytes,
                                             asio::redirect_error(asio::use_awaitable, error));
      } else {
        written = co_await asio::async_write(socket_, bytes,
                                             asio::redirect_error(asio::use_awaitable, error));
      }
    }
    const std::size_t of_first = std::min(written, first.size());
    first.remove_prefix(of_first);
    second.remove_prefix(written - of_first);
  }
  expect_nothing();
  if (error) gone_ = true;
  co_return !error;
}

asio::awaitable<bool> server_connection::shake_hands() {
  if (!tls_) co_return true;
  error_code error;
  expect_within(settings_.options.head_timeout);
  co_await tls_->async_handshake(ssl::stream_base::server,
                                 asio::redirect_error(asio::use_awaitable, error));
  expect_nothing();
  co_return !error;
}

asio::awaitable<void> server_connection::serve() {
  const bool ready = co_await shake_hands();
  for (bool more = ready; more;) more = co_await answer_next();
  if (ready && !gone_) co_await say_goodbye();
  error_code ignored;
  socket_.close(ignored);
}

// If the server closed the socket while bytes of the client are unread, TCP would reset the
// connection, and the client could lose the reply. So the server sends its FIN first, and drops
// what still arrives for a while.
asio::awaitable<void> server_connection::say_goodbye() {
  error_code ignored;
  expect_within(goodbye_timeout);
  if (tls_) co_await tls_->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  std::size_t dropped = 0;
  error_code error;
  while (!error && !timed_out_ && dropped < most_dropped) {
    in_.resize(read_size);
    dropped += co_await socket_.async_read_some(asio::buffer(in_.data(), in_.size()),
                                                asio::redirect_error(asio::use_awaitable, error));
  }
  expect_nothing();
}

// Reads the next request and answers it. Returns false if the connection must be closed.
asio::awaitable<bool> server_connection::answer_next() {
  reader_ = std::make_unique<request_reader>(settings_.options.max_head_bytes);
  replied_ = complete_ = head_only_ = timed_out_ = continued_ = false;
  framing_ = framing::none;
  if (!co_await read_head()) co_return false;
  reader_->head().peer = peer_;
  reader_->head().keep_alive = reader_->keep_alive();
  reader_->head().takes_chunks = reader_->takes_chunks();
  head_only_ = reader_->head().method == "HEAD";
  received_ = 0;
  if (!co_await call_handler()) co_return false;
  // GCC 12 loses the frame of a coroutine that ends in `co_return co_await` here.
  bool goes_on = !closing_ && reader_->keep_alive() && framing_ != framing::until_close;
  if (goes_on && !reader_->body_is_done()) goes_on = co_await drop_body();
  co_return goes_on;
}

asio::awaitable<bool> server_connection::read_head() {
  idle_ = true;
  bool begun = !unread().empty();
  expect_within(begun ? settings_.options.head_timeout : settings_.options.idle_timeout);
  for (;;) {
    if (begun) {
      idle_ = false;
      auto read = reader_->read_head(unread());
      if (read) {
        expect_nothing();
        if (const auto* why = std::get_if<request_reader::refusal>(&*read)) {
          head_only_ = unread().starts_with("HEAD ");
          co_await refuse(why->status, why->message);
          co_return false;
        }
        consume(std::get<std::size_t>(*read));
        co_return true;
      }
    }
    if (closing_ && idle_) co_return false;
    if (co_await read_more() == 0) {
      if (timed_out_ && begun) co_await refuse(408, "the head of the request came too slowly");
      co_return false;
    }
    if (!std::exchange(begun, true)) expect_within(settings_.options.head_timeout);
  }
}

asio::awaitable<void> server_connection::refuse(int status, std::string_view message) {
  closing_ = true;
  const refusal_answer answer = settings_.refusal(status, message);
  co_await send(status, answer.fields, answer.body);
}

// Returns false if the connection cannot be used any more.
asio::awaitable<bool> server_connection::call_handler() {
  bool failed = false;
  try {
    co_await settings_.handler(*this);
  } catch (...) {
    failed = true;
  }
  client_gone_ = nullptr;
  watch_alarm_.cancel();
  if (watch_) *std::exchange(watch_, nullptr) = false;
  if (gone_) co_return false;
  if (!replied_) co_await refuse(500, "the server had an error");
  // A reply that the handler did not finish must not look complete. If its end is that of the
  // connection, only a reset shows it.
  if (!complete_ && framing_ == framing::until_close) end_raw(raw_end::reset);
  if (!complete_) gone_ = true;
  co_return !failed && complete_ && !gone_;
}

asio::awaitable<bool> server_connection::drop_body() {
  // The client has not sent the body, and will not send it after this reply.
  if (reader_->expects_continue() && !reader_->body_is_done()) co_return false;
  std::size_t dropped = 0;
  while (!reader_->body_is_done()) {
    std::string_view piece;
    try {
      piece = co_await read_piece();
    } catch (const body_error&) {
      co_return false;
    }
    dropped += piece.size();
    if (dropped > most_dropped) co_return false;
  }
  co_return true;
}

asio::awaitable<std::string_view> server_connection::read_piece() {
  if (reader_->body_is_done()) co_return std::string_view();
  if (reader_->expects_continue() && unread().empty() && !replied_ &&
      !std::exchange(continued_, true)) {
    std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    const bool sent = co_await write_all(std::move(go_on));
    if (!sent) throw body_error(0, "the client is gone");
  }
  piece_.resize(read_size);
  // The timeout counts only the time in which this server waits for the client.
  expect_within(received_ == 0 ? settings_.options.body_timeout : body_time_left_);
  for (;;) {
    const auto step = reader_->read_body(unread(), piece_.data(), piece_.size());
    consume(step.taken);
    if (step.failed) {
      closing_ = true;
      throw body_error(400, "the body of the request is not well framed");
    }
    if (step.produced > 0) {
      received_ += step.produced;
      if (received_ >= settings_.options.min_body_bytes) received_ = 0;
      body_time_left_ = due_ - time_.now();
      expect_nothing();
      co_return std::string_view(piece_).substr(0, step.produced);
    }
    if (reader_->body_is_done()) {
      expect_nothing();
      co_return std::string_view();
    }
    if (step.taken > 0 && !unread().empty()) continue;
    if (co_await read_more() > 0) continue;
    closing_ = true;
    if (timed_out_) throw body_error(408, "the body of the request came too slowly");
    gone_ = true;
    throw body_error(0, "the client has closed the connection");
  }
}

std::string server_connection::head_of(int status, const header_fields& fields,
                                       std::optional<std::uint64_t> length) {
  constexpr std::size_t words = 160;  // estimated size of the texts below
  std::string text;
  text.reserve(fields.size() + words);
  const fmt::format_int code(status);
  text.append("HTTP/1.1 ").append(code.data(), code.size()).append(" ").append(reason_of(status));
  text.append("\r\nDate: ").append(date_at(static_cast<std::time_t>(time_.unix_now())));
  text.append("\r\nServer: sluice\r\n");
  for (const auto& field : fields) {
    text.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  if (!has_body(status)) {
    framing_ = framing::none;
  } else if (length) {
    framing_ = framing::counted;
    left_ = *length;
    const fmt::format_int size(*length);
    text.append("Content-Length: ").append(size.data(), size.size()).append("\r\n");
  } else if (reader_->takes_chunks()) {
    framing_ = framing::chunked;
    text += "Transfer-Encoding: chunked\r\n";
  } else {
    framing_ = framing::until_close;
  }
  const bool ends = closing_ || framing_ == framing::until_close || !reader_->keep_alive() ||
                    (reader_->expects_continue() && !reader_->body_is_done());
  if (ends) {
    closing_ = true;
    text += "Connection: close\r\n";
  } else if (!reader_->takes_chunks()) {
    text += "Connection: keep-alive\r\n";
  }
  return text += "\r\n";
}

asio::awaitable<bool> server_connection::send(int status, const header_fields& fields,
                                              std::string_view body) {
  std::string head = head_of(status, fields, body.size());
  const bool with_body = framing_ == framing::counted && !head_only_;
  replied_ = complete_ = true;
  return write_all(std::move(head), with_body ? body : std::string_view());
}

// Frees the buffers that are not needed before the next request. An answer in pieces may take
// hours.
void server_connection::free_buffers() {
  if (reader_->body_is_done()) std::string().swap(piece_);
  if (unread().empty()) std::string().swap(in_);
}

asio::awaitable<bool> server_connection::begin(int status, const header_fields& fields,
                                               std::optional<std::uint64_t> length) {
  std::string head = head_of(status, fields, length);
  replied_ = true;
  free_buffers();
  return write_all(std::move(head));
}

asio::awaitable<bool> server_connection::write(std::string_view piece) {
  if (head_only_ || framing_ == framing::none) piece = {};
  if (framing_ == framing::counted) {
    piece = piece.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), left_)));
    left_ -= piece.size();
  }
  if (piece.empty() || framing_ != framing::chunked) return write_all({}, piece);
  std::string chunk = fmt::format("{:x}\r\n", piece.size());
  chunk.append(piece).append("\r\n");
  return write_all(std::move(chunk));
}

asio::awaitable<bool> server_connection::finish() {
  complete_ = head_only_ || framing_ != framing::counted || left_ == 0;
  std::string end = framing_ == framing::chunked && !head_only_ ? "0\r\n\r\n" : "";
  const bool sent = co_await write_all(std::move(end));
  co_return sent&& complete_;
}

client_state server_connection::client() {
  if (gone_ || !socket_.is_open()) return client_state::gone;
  pollfd query{socket_.native_handle(), POLLRDHUP, 0};
  ::poll(&query, 1, 0);
  if ((query.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return client_state::gone;
  return (query.revents & POLLRDHUP) != 0 ? client_state::half_closed : client_state::connected;
}

bool server_connection::acknowledged() {
  int waiting = 0;
  return ::ioctl(socket_.native_handle(), SIOCOUTQ, &waiting) != 0 || waiting == 0;
}

asio::awaitable<bool> server_connection::write_raw(std::string_view first,
                                                   std::string_view second) {
  replied_ = true;
  return write_all(std::string(first), second);
}

void server_connection::end_raw(raw_end how) {
  replied_ = true;
  complete_ = how == raw_end::complete || how == raw_end::last;
  closing_ = closing_ || how != raw_end::complete;
  if (complete_) return;
  error_code ignored;
  if (how == raw_end::reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  gone_ = true;
  socket_.close(ignored);
}

void server_connection::on_client_gone(std::function<void()> act) {
  if (gone_) return act();
  client_gone_ = std::move(act);
  if (watch_) return;
  watch_ = std::make_shared<bool>(true);
  // This wait ends when something arrives while the request is being answered.
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [this, alive = watch_](error_code) {
    if (*alive) look_at_client();
  });
}

// Checks whether the client has closed the connection. Unread bytes (of the next request, or of the
// end of TLS) would make a wait on the socket return at once, so this polls at intervals.
void server_connection::look_at_client() {
  if (client() == client_state::connected) {
    watch_alarm_.set(time_.now() + look_interval, [this] { look_at_client(); });
    return;
  }
  gone_ = true;
  if (client_gone_) std::exchange(client_gone_, nullptr)();
}

}  // namespace sluice::http_server
