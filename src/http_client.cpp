#include "http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <list>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base_url.hpp"
#include "connection.hpp"
#include "name_lookup.hpp"
#include "response_parser.hpp"
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
// How long the end of a body may take once the reply is known to be whole, so that its connection
// can be used again: some relays send the last chunk late, some never.
constexpr duration drain_timeout = std::chrono::seconds{1};
// So many used connections in a row that died before they answered, and none is used again: some
// relays close after every reply without a word.
constexpr unsigned most_stale = 3;

// A body up to so many bytes is copied behind its head.
constexpr std::size_t longest_joined_body = std::size_t{16} * 1024;

asio::ssl::context make_tls_context(bool insecure) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  context.set_verify_mode(insecure ? asio::ssl::verify_none : asio::ssl::verify_peer);
  context.set_default_verify_paths();  // the system's store, or SSL_CERT_FILE and SSL_CERT_DIR
  constexpr std::string_view http_1_1 = "\x08http/1.1";  // for servers that would begin with HTTP/2
  SSL_CTX_set_alpn_protos(context.native_handle(),
                          reinterpret_cast<const unsigned char*>(http_1_1.data()),
                          static_cast<unsigned>(http_1_1.size()));
  return context;
}

class beast_client final : public http_client {
 public:
  beast_client(asio::io_context& context, clock& clock, const relay_options& relay)
      : context_(context),
        clock_(clock),
        relay_(relay),
        url_(base_url::parse(relay.base_url)),
        names_(context.get_executor(), url_.host, url_.port) {
    if (url_.tls) tls_context_.emplace(make_tls_context(relay.insecure));
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

  void allow_sending() override { sending_ = true; }
  void stop_sending() override {
    sending_ = false;
    for (connection* active : active_) {
      if (active->connecting) active->abort();
    }
  }
  void abort() override {
    for (connection* active : active_) active->abort();
    idle_.clear();
  }

 private:
  using held = std::unique_ptr<connection>;

  // Among the active ones while in scope.
  class membership {
   public:
    membership(std::list<connection*>& all, connection* member)
        : all_(all), place_(all.insert(all.end(), member)) {}
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    ~membership() { all_.erase(place_); }

   private:
    std::list<connection*>& all_;
    std::list<connection*>::iterator place_;
  };

  held take_idle();
  void give_back(held used);
  asio::awaitable<exchange_end> open(connection& fresh);
  asio::awaitable<std::string> find_addresses(connection& fresh);
  asio::awaitable<error_code> connect(connection& fresh);
  template <typename Stream>
  asio::awaitable<exchange_end> talk(Stream& stream, held& link, time_point started, post request,
                                     response_handler& handler);
  template <typename Stream>
  asio::awaitable<void> drain(Stream& stream, held link, std::unique_ptr<response_parser> parser);
  std::string head_and(std::string_view body_begin, const post& request) const;
  static exchange_end failed(exchange_end so_far, exchange_end::how how, const connection& link,
                             std::string message);

  asio::io_context& context_;
  clock& clock_;
  const relay_options relay_;
  const base_url url_;
  name_lookup names_;
  std::optional<asio::ssl::context> tls_context_;
  std::string fixed_headers_;
  std::vector<held> idle_;
  std::list<connection*> active_;
  bool sending_ = true;
  unsigned stale_in_row_ = 0;
};

beast_client::held beast_client::take_idle() {
  if (stale_in_row_ >= most_stale) idle_.clear();
  while (!idle_.empty()) {
    held last = std::move(idle_.back());
    idle_.pop_back();
    if (last->is_silent()) return last;
  }
  return nullptr;
}

void beast_client::give_back(held used) {
  used->limit.lift();
  used->filled = 0;
  idle_.push_back(std::move(used));
}

// The head of a request and as much of its body as is to go with it.
std::string beast_client::head_and(std::string_view body_begin, const post& request) const {
  constexpr std::size_t words = 192;  // the fixed ones, and the numbers
  const fmt::format_int length(request.body.size());
  std::string head;
  head.reserve(url_.prefix.size() + fixed_headers_.size() + words + body_begin.size());
  head.append("POST ").append(url_.prefix).append(request.path).append(" HTTP/1.1\r\n");
  head.append(fixed_headers_).append("Accept: ");
  if (request.streamed) head.append("text/event-stream, ");
  head.append("application/json\r\nIdempotency-Key: ").append(request.idempotency_key);
  head.append("\r\nContent-Length: ").append(length.data(), length.size());
  return head.append("\r\n\r\n").append(body_begin);
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

// Looks the relay's name up; why that failed, or nothing.
asio::awaitable<std::string> beast_client::find_addresses(connection& fresh) {
  if (names_.is_address()) co_return "";
  names_.join(fresh.parked);
  co_await fresh.parked.async_wait(as_result);
  names_.leave(fresh.parked);
  co_return fresh.limit.passed() || fresh.aborted ? "no answer" : names_.error();
}

// One address after the other, each with its share of the time that is left. By hand: async_connect
// over a range would open the socket anew after the deadline has closed it.
asio::awaitable<error_code> beast_client::connect(connection& fresh) {
  error_code last = asio::error::host_not_found;
  const auto addresses = names_.addresses();
  std::size_t left = addresses.size();
  for (const auto& address : addresses) {
    error_code ignored;
    fresh.socket.close(ignored);
    const time_point now = clock_.now();
    const auto share = (fresh.limit.when() - now) / static_cast<duration::rep>(left);
    clock::timer alarm = 0;
    if (--left > 0) alarm = clock_.call_at(now + share, [&] { fresh.socket.close(ignored); });
    auto [error] = co_await fresh.socket.async_connect(address, as_result);
    clock_.cancel(alarm);
    last = error;
    if (!error) names_.served(address);
    if (!error || fresh.limit.passed() || fresh.aborted) break;
  }
  co_return last;
}

asio::awaitable<exchange_end> beast_client::open(connection& fresh) {
  exchange_end result;
  const auto fail = [&](std::string_view step, std::string_view why) {
    return failed(result, exchange_end::how::unreachable, fresh,
                  fmt::format("{} {}: {}", step, url_.authority(), why));
  };
  const std::string unknown = co_await find_addresses(fresh);
  if (!unknown.empty()) co_return fail("cannot resolve", unknown);
  const error_code refused = co_await connect(fresh);
  if (refused) co_return fail("cannot connect to", refused.message());
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
    const bool untrusted = ERR_GET_REASON(static_cast<unsigned long>(error.value())) ==
                               SSL_R_CERTIFICATE_VERIFY_FAILED &&
                           error.category() == boost::asio::error::get_ssl_category();
    if (untrusted) {
      co_return failed(result, exchange_end::how::bad_certificate, fresh,
                       fmt::format("the certificate of {} does not verify: {}", url_.authority(),
                                   verdict == X509_V_OK ? "it is for another host"
                                                        : X509_verify_cert_error_string(verdict)));
    }
    co_return fail("no TLS with", error.message());
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
  // One piece costs the kernel less than two; a long body is not worth the copy.
  const std::string_view body = request.body;
  const std::size_t joined = body.size() <= longest_joined_body ? body.size() : 0;
  const std::string begin = head_and(body.substr(0, joined), request);
  boost::beast::buffers_suffix<std::array<asio::const_buffer, 2>> rest(
      std::array<asio::const_buffer, 2>{asio::buffer(begin), asio::buffer(body.substr(joined))});
  error_code write_error;
  if constexpr (std::is_same_v<Stream, tcp::socket>) {
    // Nearly every request fits into the socket's buffer; written at once it costs no turn of the
    // loop.
    const std::size_t written = stream.write_some(asio::buffer(begin), write_error);
    if (write_error == asio::error::would_block) write_error = {};
    result.sent_any = written > 0;
    rest.consume(written);
  }
  if (!write_error && asio::buffer_size(rest) > 0) {
    auto [error, written] = co_await asio::async_write(stream, rest, as_result);
    write_error = error;
    result.sent_any = result.sent_any || written > 0;
  }
  if (!write_error) {
    result.sent_whole = true;
    handler.on_sent();
    if (request.streamed) within(relay_.first_byte_timeout, "--first-byte-timeout");
  } else if (result.sent_any && !link->limit.passed() && !link->aborted) {
    // A relay that refuses a large request may answer, and close, before it has read it all.
    within(drain_timeout, "the wait for an early answer");
  } else {
    co_return failed(result, broken, *link,
                     fmt::format("the connection broke while sending: {}", write_error.message()));
  }

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
      const bool sending = write_error && !result.head_arrived;
      co_return failed(
          result, broken, *link,
          sending ? fmt::format("the connection broke while sending: {}", write_error.message())
                  : fmt::format("the connection broke {} the head of the reply: {}",
                                result.head_arrived ? "after" : "before", error.message()));
    }
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
        // Whatever it meets, the reply is whole: at worst the connection is not used again.
        asio::co_spawn(context_, drain(stream, std::move(link), std::move(parser)),
                       [](const std::exception_ptr&) {});
      }
      co_return result;
    }
    if (parser->wanted() != need::trailer) {
      closing = false;
      if (parser->got_some()) within(relay_.idle_timeout, "--idle-timeout");
    } else if (!std::exchange(closing, true)) {
      within(relay_.trailer_timeout, "the wait for usage");
    }
  }
}

template <typename Stream>
asio::awaitable<void> beast_client::drain(Stream& stream, held link,
                                          std::unique_ptr<response_parser> parser) {
  const membership here(active_, link.get());
  link->limit.set(clock_.now() + drain_timeout, "");
  error_code broke;
  while (!parser->is_done() && !broke && link->filled < link->buffer.size()) {
    auto [error, n] = co_await stream.async_read_some(link->room(), as_result);
    broke = error;
    if (!error) link->filled += n;
    if (!error) link->drop(parser->put(link->bytes(), broke));
    if (broke == http::error::need_more) broke = {};
  }
  if (!broke && parser->is_done() && parser->keep_alive() && link->filled == 0) {
    give_back(std::move(link));
  }
}

asio::awaitable<exchange_end> beast_client::exchange(post request, response_handler& handler) {
  const time_point started = clock_.now();
  for (;;) {
    held link = take_idle();
    const bool used_before = link != nullptr;
    if (!used_before) {
      link =
          std::make_unique<connection>(context_, clock_, tls_context_ ? &*tls_context_ : nullptr);
    }
    connection& guarded = *link;
    const membership here(active_, &guarded);

    exchange_end result;
    if (!used_before) {
      guarded.limit.set(started + std::min(relay_.connect_timeout, relay_.total_timeout),
                        "--connect-timeout");
      guarded.connecting = true;
      result = co_await open(guarded);
      guarded.connecting = false;
    }
    if (result.end != exchange_end::how::complete) co_return result;
    if (!sending_) {
      co_return failed(result, exchange_end::how::unreachable, guarded, "interrupted");
    }
    // No conditional expression: GCC 12 would start both.
    if (guarded.tls) {
      result = co_await talk(*guarded.tls, link, started, request, handler);
    } else {
      result = co_await talk(guarded.socket, link, started, request, handler);
    }
    if (used_before) {
      const bool stale = result.end == exchange_end::how::broken && !result.head_arrived;
      stale_in_row_ = stale ? stale_in_row_ + 1 : 0;
      // The relay had closed it, and has seen nothing of the request: another connection will do.
      if (stale && !result.sent_any && sending_) continue;
    }
    co_return result;
  }
}

}  // namespace

std::unique_ptr<http_client> make_http_client(asio::io_context& context, clock& clock,
                                              const relay_options& relay) {
  return std::make_unique<beast_client>(context, clock, relay);
}

}  // namespace sluice
