#include "http_client.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cctype>
#include <list>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base_url.hpp"
#include "sluice/error.hpp"
#include "sluice/version.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using need = openai::reply_reader::need;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t read_size = std::size_t{16} * 1024;
constexpr std::uint32_t header_limit = 256 * 1024;
// How long the end of a body may take once the reply is known to be whole, so that its connection
// can be used again: some relays send the last chunk late, some never.
constexpr duration drain_timeout = std::chrono::seconds{1};
// A connection that was idle for longer is first asked whether the relay has closed it.
constexpr duration trusted_idle = std::chrono::milliseconds{1};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Beast's own state machine for HTTP/1.1, told to keep nothing: pieces go straight to the handler.
class response_parser final : public http::basic_parser<false> {
 public:
  explicit response_parser(response_handler& handler) : handler_(handler) {
    eager(true);
    http::basic_parser<false>::header_limit(sluice::header_limit);
    body_limit(boost::none);  // the reply reader keeps its own
  }

  bool interim() const noexcept { return head_.status >= 100 && head_.status < 200; }
  bool head_arrived() const noexcept { return head_arrived_; }
  need wanted() const noexcept { return wanted_; }

 private:
  using view = boost::beast::string_view;

  void on_request_impl(http::verb, view, view, int, error_code&) override {}
  void on_response_impl(int status, view, int, error_code&) override { head_.status = status; }
  void on_field_impl(http::field id, view name, view value, error_code&) override {
    const std::string_view text{value.data(), value.size()};
    if (id == http::field::content_type) {
      head_.content_type = text;
    } else if (id == http::field::location) {
      head_.location = text;
    } else if (id == http::field::retry_after) {
      head_.hints["retry-after"] = text;
    } else if (id == http::field::unknown) {
      on_unknown_field(lower({name.data(), name.size()}), text);
    }
  }
  void on_unknown_field(const std::string& name, std::string_view value) {
    if (name == "x-request-id" || (name == "x-oneapi-request-id" && head_.request_id.empty())) {
      head_.request_id = value;
    } else if (name.starts_with("x-ratelimit-") || name == "retry-after-ms" ||
               name == "x-should-retry") {
      head_.hints[name] = value;
    }
  }
  void on_header_impl(error_code&) override {
    if (interim()) return;
    head_arrived_ = true;
    handler_.on_head(std::move(head_));
  }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(view body, error_code&) override { return take(body); }
  void on_chunk_header_impl(std::uint64_t, view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view body, error_code&) override {
    return take(body);
  }
  void on_finish_impl(error_code&) override {}

  std::size_t take(view body) {
    if (wanted_ != need::nothing) wanted_ = handler_.on_body({body.data(), body.size()});
    return body.size();
  }

  response_handler& handler_;
  openai::response_head head_;
  bool head_arrived_ = false;
  need wanted_ = need::more;
};

// The deadline of a connection, moved often and set on the clock seldom: the alarm looks at `when`
// as it rings, and closes the socket if that has passed.
class deadline {
 public:
  deadline(clock& clock, tcp::socket& guarded) : clock_(clock), guarded_(guarded) {}
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline() {
    if (alarm_ != 0) clock_.cancel(alarm_);
  }

  void set(time_point when, std::string_view name) {
    when_ = when;
    name_ = name;
    if (alarm_ == 0 || when_ < alarm_at_) arm();
  }
  void lift() noexcept { when_ = time_point::max(); }
  bool passed() const noexcept { return passed_; }
  std::string_view name() const noexcept { return name_; }

 private:
  void arm() {
    if (alarm_ != 0) clock_.cancel(alarm_);
    alarm_at_ = when_;
    alarm_ = clock_.call_at(when_, [this] {
      alarm_ = 0;
      if (when_ == time_point::max()) return;
      if (clock_.now() < when_) return arm();
      passed_ = true;
      error_code ignored;
      guarded_.close(ignored);
    });
  }

  clock& clock_;
  tcp::socket& guarded_;
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
  time_point when_ = time_point::max();
  std::string_view name_;
  bool passed_ = false;
};

// One connection, plain or TLS, with the bytes read from it that no parser has taken yet.
struct connection {
  connection(asio::io_context& context, clock& clock, asio::ssl::context* tls_context)
      : socket(context), limit(clock, socket) {
    if (tls_context != nullptr) tls.emplace(socket, *tls_context);
  }

  void close() {
    error_code ignored;
    socket.close(ignored);
  }
  bool closed_by_peer() {
    char byte = 0;
    const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    // TLS 1.3 sends session tickets when it likes: bytes on an idle TLS connection are no farewell.
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) || (n > 0 && !tls);
  }

  asio::mutable_buffer room() { return asio::buffer(buffer) + filled; }
  asio::const_buffer bytes() const { return asio::buffer(buffer.data(), filled); }
  void drop(std::size_t parsed) {
    std::copy(buffer.data() + parsed, buffer.data() + filled, buffer.data());
    filled -= parsed;
  }

  tcp::socket socket;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  deadline limit;
  std::vector<char> buffer = std::vector<char>(read_size);
  std::size_t filled = 0;
  time_point idle_since{};
  bool aborted = false;  // by the program, not by the relay
};

asio::ssl::context make_tls_context() {
  asio::ssl::context context(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  context.set_verify_mode(asio::ssl::verify_peer);
  context.set_default_verify_paths();  // the system's store, or SSL_CERT_FILE and SSL_CERT_DIR
  return context;
}

class beast_client final : public http_client {
 public:
  beast_client(asio::io_context& context, clock& clock, const relay_options& relay)
      : context_(context),
        clock_(clock),
        relay_(relay),
        url_(base_url::parse(relay.base_url)),
        resolver_(context) {
    if (url_.tls) tls_context_.emplace(make_tls_context());
    const auto given = [&](std::string_view name) {
      return std::any_of(relay.headers.begin(), relay.headers.end(), [&](const auto& header) {
        return boost::beast::iequals(header.first, name);
      });
    };
    fixed_headers_ =
        fmt::format("Host: {}\r\nContent-Type: application/json\r\n", url_.authority());
    if (!given("User-Agent")) {
      fixed_headers_ += fmt::format("User-Agent: sluice/{}\r\n", SLUICE_VERSION);
    }
    if (!relay.api_key.empty() && !given("Authorization")) {
      fixed_headers_ += fmt::format("Authorization: Bearer {}\r\n", relay.api_key);
    }
    for (const auto& [name, value] : relay.headers) {
      fixed_headers_ += fmt::format("{}: {}\r\n", name, value);
    }
  }

  asio::awaitable<exchange_end> exchange(post request, response_handler& handler) override;

  void abort() override {
    resolver_.cancel();
    for (connection* active : active_) {
      active->aborted = true;
      active->close();
    }
    idle_.clear();
  }

 private:
  using held = std::unique_ptr<connection>;

  held take_idle();
  void give_back(held used);
  asio::awaitable<exchange_end> open(connection& fresh);
  template <typename Stream>
  asio::awaitable<exchange_end> talk(Stream& stream, held& link, time_point started, post request,
                                     response_handler& handler);
  template <typename Stream>
  asio::awaitable<void> drain(Stream& stream, held link, std::unique_ptr<response_parser> parser);
  std::string request_head(const post& request) const;
  static exchange_end failed(exchange_end so_far, exchange_end::how how, const connection& link,
                             std::string message);

  asio::io_context& context_;
  clock& clock_;
  const relay_options relay_;
  const base_url url_;
  tcp::resolver resolver_;
  std::optional<asio::ssl::context> tls_context_;
  std::string fixed_headers_;
  std::vector<held> idle_;
  std::list<connection*> active_;
};

beast_client::held beast_client::take_idle() {
  while (!idle_.empty()) {
    held last = std::move(idle_.back());
    idle_.pop_back();
    if (clock_.now() - last->idle_since < trusted_idle || !last->closed_by_peer()) return last;
  }
  return nullptr;
}

void beast_client::give_back(held used) {
  used->idle_since = clock_.now();
  used->limit.lift();
  used->filled = 0;
  idle_.push_back(std::move(used));
}

std::string beast_client::request_head(const post& request) const {
  return fmt::format(FMT_COMPILE("POST {}{} HTTP/1.1\r\n{}Accept: {}\r\nIdempotency-Key: "
                                 "{}\r\nContent-Length: {}\r\n\r\n"),
                     url_.prefix, request.path, fixed_headers_,
                     request.streamed ? "text/event-stream, application/json" : "application/json",
                     request.idempotency_key, request.body.size());
}

exchange_end beast_client::failed(exchange_end so_far, exchange_end::how how,
                                  const connection& link, std::string message) {
  so_far.end = how;
  so_far.message = std::move(message);
  if (link.limit.passed()) {
    if (how == exchange_end::how::broken) so_far.end = exchange_end::how::timed_out;
    so_far.message = fmt::format("{} passed", link.limit.name());
  } else if (link.aborted) {
    so_far.message = "interrupted";
  }
  return so_far;
}

asio::awaitable<exchange_end> beast_client::open(connection& fresh) {
  exchange_end result;
  const auto fail = [&](exchange_end::how how, std::string_view step, const error_code& error) {
    return failed(result, how, fresh,
                  fmt::format("{} {}: {}", step, url_.authority(), error.message()));
  };
  auto [name_error, addresses] = co_await resolver_.async_resolve(url_.host, url_.port, as_result);
  if (name_error) co_return fail(exchange_end::how::unreachable, "cannot resolve", name_error);
  if (fresh.limit.passed() || fresh.aborted) {
    co_return fail(exchange_end::how::unreachable, "cannot resolve", asio::error::timed_out);
  }

  // One address after the other, by hand: async_connect over a range would open the socket anew
  // after the deadline has closed it.
  error_code last = asio::error::host_not_found;
  for (const auto& address : addresses) {
    error_code ignored;
    fresh.socket.close(ignored);
    auto [error] = co_await fresh.socket.async_connect(address.endpoint(), as_result);
    last = error;
    if (!error || fresh.limit.passed() || fresh.aborted) break;
  }
  if (last) co_return fail(exchange_end::how::unreachable, "cannot connect to", last);
  error_code ignored;
  fresh.socket.set_option(tcp::no_delay(true), ignored);
  fresh.socket.non_blocking(true, ignored);
  if (!fresh.tls) co_return result;

  SSL* session = fresh.tls->native_handle();
  SSL_set_tlsext_host_name(session, url_.host.c_str());
  fresh.tls->set_verify_callback(asio::ssl::host_name_verification(url_.host), ignored);
  auto [error] = co_await fresh.tls->async_handshake(asio::ssl::stream_base::client, as_result);
  if (error) {
    const long verdict = SSL_get_verify_result(session);
    const bool refused = ERR_GET_REASON(static_cast<unsigned long>(error.value())) ==
                             SSL_R_CERTIFICATE_VERIFY_FAILED &&
                         error.category() == boost::asio::error::get_ssl_category();
    if (refused) {
      co_return failed(result, exchange_end::how::bad_certificate, fresh,
                       fmt::format("the certificate of {} does not verify: {}", url_.authority(),
                                   verdict == X509_V_OK ? "it is for another host"
                                                        : X509_verify_cert_error_string(verdict)));
    }
    co_return fail(exchange_end::how::unreachable, "no TLS with", error);
  }
  co_return result;
}

template <typename Stream>
asio::awaitable<exchange_end> beast_client::talk(Stream& stream, held& link, time_point started,
                                                 post request, response_handler& handler) {
  using enum exchange_end::how;
  exchange_end result;
  const time_point last_moment = started + relay_.total_timeout;
  const auto within = [&](duration wait, std::string_view name) {
    const time_point when = clock_.now() + wait;
    when < last_moment ? link->limit.set(when, name) : link->limit.set(last_moment, "--timeout");
  };

  link->limit.set(last_moment, "--timeout");
  const std::string head = request_head(request);
  boost::beast::buffers_suffix<std::array<asio::const_buffer, 2>> rest(
      std::array<asio::const_buffer, 2>{asio::buffer(head), asio::buffer(request.body)});
  error_code write_error;
  if constexpr (std::is_same_v<Stream, tcp::socket>) {
    // Nearly every request fits into the socket's buffer; written at once it costs no turn of the
    // loop.
    const std::size_t written = stream.write_some(rest, write_error);
    if (write_error == asio::error::would_block) write_error = {};
    result.sent_any = written > 0;
    rest.consume(written);
  }
  if (!write_error && asio::buffer_size(rest) > 0) {
    auto [error, written] = co_await asio::async_write(stream, rest, as_result);
    write_error = error;
    result.sent_any = result.sent_any || written > 0;
  }
  if (write_error) {
    co_return failed(result, broken, *link,
                     fmt::format("the connection broke while sending: {}", write_error.message()));
  }
  result.sent_whole = true;
  handler.on_sent();
  if (request.streamed) within(relay_.first_byte_timeout, "--first-byte-timeout");

  auto parser = std::make_unique<response_parser>(handler);
  bool closing = false;  // the trailer's deadline is set
  for (;;) {
    if (link->filled == link->buffer.size()) link->buffer.resize(link->filled * 2);  // long headers
    auto [error, n] = co_await stream.async_read_some(link->room(), as_result);
    error_code parse_error;
    if (error) {
      if (error == asio::error::eof && parser->got_some()) parser->put_eof(parse_error);
      if (error == asio::error::eof && !parse_error && parser->is_done()) co_return result;
      if (parser->wanted() != need::more) co_return result;  // whole but for the trailer
      co_return failed(result, broken, *link,
                       fmt::format("the connection broke {} the head of the reply: {}",
                                   result.head_arrived ? "after" : "before", error.message()));
    }
    if (!closing) within(relay_.idle_timeout, "--idle-timeout");
    link->filled += n;
    while (link->filled > 0 && !parser->is_done() && !parse_error) {
      link->drop(parser->put(link->bytes(), parse_error));
      if (parser->is_done() && parser->interim()) {  // 100 Continue, 103 Early Hints
        parser = std::make_unique<response_parser>(handler);
      }
    }
    if (parse_error == http::error::need_more) parse_error = {};
    result.head_arrived = parser->head_arrived();
    if (parse_error) {
      if (parser->wanted() != need::more) co_return result;
      co_return failed(result, broken, *link,
                       fmt::format("what came is not HTTP: {}", parse_error.message()));
    }

    if (parser->is_done()) {
      if (parser->keep_alive() && link->filled == 0) give_back(std::move(link));
      co_return result;
    }
    if (parser->wanted() == need::nothing) {
      if (parser->chunked() && parser->keep_alive()) {
        asio::co_spawn(context_, drain(stream, std::move(link), std::move(parser)), asio::detached);
      }
      co_return result;
    }
    if (parser->wanted() == need::trailer && !closing) {
      closing = true;
      within(relay_.trailer_timeout, "the wait for usage");
    }
  }
}

template <typename Stream>
asio::awaitable<void> beast_client::drain(Stream& stream, held link,
                                          std::unique_ptr<response_parser> parser) {
  link->limit.set(clock_.now() + drain_timeout, "");
  const auto place = active_.insert(active_.end(), link.get());
  error_code broke;
  while (!parser->is_done() && !broke && link->filled < link->buffer.size()) {
    auto [error, n] = co_await stream.async_read_some(link->room(), as_result);
    broke = error;
    if (!error) link->filled += n;
    if (!error) link->drop(parser->put(link->bytes(), broke));
    if (broke == http::error::need_more) broke = {};
  }
  active_.erase(place);
  if (!broke && parser->is_done() && parser->keep_alive() && link->filled == 0) {
    give_back(std::move(link));
  }
}

asio::awaitable<exchange_end> beast_client::exchange(post request, response_handler& handler) {
  const time_point started = clock_.now();
  held link = take_idle();
  const bool fresh = link == nullptr;
  if (fresh)
    link = std::make_unique<connection>(context_, clock_, tls_context_ ? &*tls_context_ : nullptr);
  connection& guarded = *link;

  exchange_end result;
  const auto place = active_.insert(active_.end(), &guarded);
  if (fresh) {
    guarded.limit.set(started + std::min(relay_.connect_timeout, relay_.total_timeout),
                      "--connect-timeout");
    result = co_await open(guarded);
  }
  if (result.end == exchange_end::how::complete) {
    // No conditional expression: GCC 12 would start both.
    if (guarded.tls) {
      result = co_await talk(*guarded.tls, link, started, request, handler);
    } else {
      result = co_await talk(guarded.socket, link, started, request, handler);
    }
  }
  active_.erase(place);
  co_return result;
}

}  // namespace

std::unique_ptr<http_client> make_http_client(asio::io_context& context, clock& clock,
                                              const relay_options& relay) {
  return std::make_unique<beast_client>(context, clock, relay);
}

}  // namespace sluice
