#include "http/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/core/string.hpp>
#include <list>
#include <type_traits>
#include <utility>
#include <vector>

#include "http/as_result.hpp"
#include "http/base_url.hpp"
#include "http/connection.hpp"
#include "http/connector.hpp"
#include "http/idle_connections.hpp"
#include "http/response_parser.hpp"
#include "sluice/error.hpp"
#include "sluice/version.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

// How long to wait for the end of a body after the reply is complete, so that the connection can be
// reused: some relays send the last chunk late, some never.
constexpr duration drain_timeout = std::chrono::seconds{1};
// After this number of dead reused connections in a row, the client no longer reuses connections:
// some relays close after every reply without saying so.
constexpr unsigned most_stale = 3;

// A body of at most this size is copied behind the head, to be sent with one system call.
constexpr std::size_t longest_joined_body = std::size_t{16} * 1024;

// The parser leaves only an incomplete head, chunk header or trailer in the buffer. None of them
// may be larger than this.
constexpr std::size_t most_unread = std::size_t{512} * 1024;

// Passes events on to the receiver and counts the memory of one reply: what the receiver stores,
// and what the parser holds in compressed form.
class counted_handler final : public response_handler {
 public:
  counted_handler(response_handler& receiver, reply_memory::share& share)
      : receiver_(receiver), share_(share) {}

  bool may_send() override { return receiver_.may_send(); }
  void on_sending(bool connected_anew) override { receiver_.on_sending(connected_anew); }
  void on_arrival(time_point when) override { receiver_.on_arrival(when); }
  void on_sent() override { receiver_.on_sent(); }
  void on_head(response_head head) override { receiver_.on_head(std::move(head)); }
  body_need on_body(std::string_view bytes) override { return receiver_.on_body(bytes); }
  bool has_room() override {
    share_.hold(receiver_.held() + (parser_ != nullptr && *parser_ ? (*parser_)->memory() : 0));
    return receiver_.has_room() && share_.has_room();
  }

  /// Also counts the memory of this parser, which may be replaced.
  void count_in(const std::unique_ptr<response_parser>& parser) { parser_ = &parser; }
  asio::awaitable<void> wait_for_room(wait_queue& line) {
    wait_queue* const own = receiver_.room_signal();
    if (own != nullptr && !receiver_.has_room()) return wait_queue::wait_in_both(*own, line);
    return share_.wait(line);
  }

 private:
  response_handler& receiver_;
  reply_memory::share& share_;
  const std::unique_ptr<response_parser>* parser_ = nullptr;
};

class beast_client final : public http_client {
 public:
  beast_client(asio::io_context& context, clock& clock, const relay_options& relay,
               name_lookup::resolver resolve, std::shared_ptr<reply_memory> memory,
               std::shared_ptr<lookup_threads> lookups)
      : context_(context),
        clock_(clock),
        memory_(std::move(memory)),
        relay_(relay),
        url_(base_url::parse(relay.base_url)),
        connector_(context, clock, relay, url_, std::move(resolve), std::move(lookups)),
        request_prefix_(connector_.request_prefix()),
        links_(std::make_shared<links>(clock)) {
    const auto has_header = [&](std::string_view name) {
      return std::any_of(relay.headers.begin(), relay.headers.end(), [&](const auto& header) {
        return boost::beast::iequals(header.first, name);
      });
    };
    fixed_headers_ = fmt::format("Host: {}\r\n", url_.authority());
    if (const auto proof = connector_.proxy_authorization(); !proof.empty()) {
      fixed_headers_ += fmt::format("Proxy-Authorization: {}\r\n", proof);
    }
    names_agent_ = has_header("User-Agent");
    if (!relay.api_key.empty() && !has_header("Authorization")) {
      fixed_headers_ += fmt::format("Authorization: Bearer {}\r\n", relay.api_key);
    }
    for (const auto& [name, value] : relay.headers) {
      fixed_headers_ += fmt::format("{}: {}\r\n", name, value);
    }
  }

  asio::awaitable<exchange_end> exchange(outgoing request, response_handler& handler) override;

  void stamp_arrivals() override { stamps_ = true; }
  void allow_sending() override { sending_ = true; }
  void stop_sending() override {
    sending_ = false;
    links_->idle.clear();
    for (connection* active : links_->active) {
      if (active->connecting) active->abort();
    }
  }
  void abort() override {
    for (connection* active : links_->active) active->abort();
    links_->idle.clear();
  }

 private:
  using connection_ptr = std::unique_ptr<connection>;

  // The open connections. drain() shares them, because it may outlive the client.
  struct links {
    explicit links(clock& time) : idle(time) {}
    idle_connections idle;
    std::list<connection*> active;
  };

  // Adds a connection to the active ones while in scope.
  class membership {
   public:
    membership(std::shared_ptr<links> all, connection* member)
        : all_(std::move(all)), place_(all_->active.insert(all_->active.end(), member)) {}
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    ~membership() { all_->active.erase(place_); }

   private:
    const std::shared_ptr<links> all_;
    const std::list<connection*>::iterator place_;
  };

  connection_ptr take_idle();
  static bool may_serve_again(const response_parser& parser, bool forwards);
  template <typename Stream>
  asio::awaitable<exchange_end> talk(Stream& stream, connection_ptr& link, outgoing request,
                                     counted_handler& handler);
  static asio::awaitable<void> make_room(connection& link, response_parser& parser,
                                         counted_handler& handler);
  template <typename Stream>
  static asio::awaitable<void> drain(Stream& stream, connection_ptr link,
                                     std::shared_ptr<links> all,
                                     std::unique_ptr<response_parser> parser, time_point until,
                                     bool forwards);
  std::string head_and(std::string_view body_begin, const outgoing& request) const;
  bool sets(std::string_view name) const;
  static exchange_end failed(exchange_end so_far, exchange_end::how how, const connection& link,
                             std::string message);

  asio::io_context& context_;
  clock& clock_;
  const std::shared_ptr<reply_memory> memory_;
  const relay_options relay_;
  const base_url url_;
  connector connector_;
  const std::string request_prefix_;
  std::string fixed_headers_;
  bool names_agent_ = false;  // fixed_headers_ has a User-Agent
  const std::shared_ptr<links> links_;
  bool sending_ = true;
  bool stamps_ = false;
  unsigned stale_in_row_ = 0;
};

// A forwarding proxy may remove the relay's "Connection" header, add none and close the connection;
// tinyproxy does. A request that is sent just before the close may be billed. So the connection to
// such a proxy is reused only if the reply says "keep-alive".
bool beast_client::may_serve_again(const response_parser& parser, bool forwards) {
  return parser.reusable() && (!forwards || parser.says_keep_alive());
}

beast_client::connection_ptr beast_client::take_idle() {
  if (stale_in_row_ >= most_stale) links_->idle.clear();
  return links_->idle.take();
}

// Returns whether fixed_headers_ has the field.
bool beast_client::sets(std::string_view name) const {
  if (same_name(name, "Host") || same_name(name, "Proxy-Authorization")) return true;
  if (same_name(name, "Authorization") && !relay_.api_key.empty()) return true;
  return std::any_of(relay_.headers.begin(), relay_.headers.end(),
                     [&](const auto& header) { return same_name(header.first, name); });
}

// The head of a request, followed by `body_begin`.
std::string beast_client::head_and(std::string_view body_begin, const outgoing& request) const {
  using namespace std::string_view_literals;
  constexpr std::size_t words = 256;  // estimated size of the texts below
  const bool posts = request.method == verb::post;
  std::string head;
  head.reserve(words + request_prefix_.size() + request.path.size() + fixed_headers_.size() +
               request.idempotency_key.size() + body_begin.size());
  head.append(posts ? "POST "sv : "GET "sv)
      .append(request_prefix_)
      .append(url_.target(request.path, !posts))
      .append(" HTTP/1.1\r\n"sv);
  head.append(fixed_headers_);
  bool agent = names_agent_;
  bool accepts = false;
  bool type = false;
  if (request.fields != nullptr) {
    for (const auto& [name, value] : *request.fields) {
      if (sets(name)) continue;
      agent = agent || same_name(name, "User-Agent");
      accepts = accepts || same_name(name, "Accept");
      type = type || same_name(name, "Content-Type");
      head.append(name).append(": "sv).append(value).append("\r\n"sv);
    }
  }
  if (!agent) head.append("User-Agent: sluice/" SLUICE_VERSION "\r\n"sv);
  if (!accepts) {
    head.append(request.streamed ? "Accept: text/event-stream, application/json\r\n"sv
                                 : "Accept: application/json\r\n"sv);
  }
  // A compressed stream would arrive in large blocks, and some gateways compress by default.
  head.append(request.streamed ? "Accept-Encoding: identity\r\n"sv
                               : "Accept-Encoding: gzip, zstd\r\n"sv);
  if (posts) {
    const fmt::format_int length(request.body.size());
    if (!type) head.append("Content-Type: application/json\r\n"sv);
    head.append("Idempotency-Key: "sv).append(request.idempotency_key);
    head.append("\r\nContent-Length: "sv).append(length.data(), length.size()).append("\r\n"sv);
  }
  return head.append("\r\n"sv).append(body_begin);
}

exchange_end beast_client::failed(exchange_end so_far, exchange_end::how how,
                                  const connection& link, std::string message) {
  so_far.end = how;
  so_far.message = link.first_cause(std::move(message));
  if (link.limit.passed() && how == exchange_end::how::broken) {
    so_far.end = exchange_end::how::timed_out;
  }
  return so_far;
}

template <typename Stream>
asio::awaitable<exchange_end> beast_client::talk(Stream& stream, connection_ptr& link,
                                                 outgoing request, counted_handler& handler) {
  using enum exchange_end::how;
  exchange_end result;
  // One write is cheaper than two, but copying a long body costs more than that.
  const std::string_view body = request.body;
  const std::size_t joined = body.size() <= longest_joined_body ? body.size() : 0;
  const std::string begin = head_and(body.substr(0, joined), request);
  boost::beast::buffers_suffix<std::array<asio::const_buffer, 2>> rest(
      std::array<asio::const_buffer, 2>{asio::buffer(begin), asio::buffer(body.substr(joined))});
  error_code write_error;
  if constexpr (std::is_same_v<Stream, stamped_stream>) {
    // Almost every request fits into the socket's buffer; a direct write saves a turn of the event
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
    if (request.streamed) link->limit.set(relay_.first_byte_timeout, "--first-byte-timeout");
  } else if (result.sent_any && !link->limit.passed() && !link->aborted) {
    // A relay that refuses a large request may answer and close before it has read everything.
    link->limit.set(drain_timeout, "the wait for an early answer");
  } else {
    co_return failed(result, broken, *link,
                     fmt::format("the connection broke while sending: {}", write_error.message()));
  }

  auto parser = std::make_unique<response_parser>(handler);
  handler.count_in(parser);
  bool closing = false;  // the timeout for the trailer is set
  for (;;) {
    if (link->filled == link->buffer.size()) {  // long headers
      if (link->filled >= most_unread) {
        if (parser->need() != body_need::more) co_return result;  // complete except the trailer
        co_return failed(result, broken, *link,
                         "the answer is not HTTP: a head or a trailer without an end");
      }
      link->buffer.resize(link->filled * 2);
    }
    auto [error, n] = co_await stream.async_read_some(link->room(), as_result);
    error_code parse_error;
    if (error) {
      if (error == asio::error::eof && parser->got_some()) parser->put_eof(parse_error);
      if (error == asio::error::eof && !parse_error && parser->is_done()) {
        co_await make_room(*link, *parser, handler);
        if (link->given_up() && parser->paused()) co_return failed(result, broken, *link, "");
        if (!parser->undecodable()) co_return result;
        co_return failed(result, undecodable, *link, parser->bad_encoding());
      }
      if (parser->need() != body_need::more) co_return result;  // complete except the trailer
      const bool sending = write_error && !result.head_arrived;
      co_return failed(
          result, broken, *link,
          sending ? fmt::format("the connection broke while sending: {}", write_error.message())
                  : fmt::format("the connection broke {} the head of the reply: {}",
                                result.head_arrived ? "after" : "before", error.message()));
    }
    link->filled += n;
    if (link->stream.stamps()) handler.on_arrival(link->stream.arrived());
    std::size_t parsed = 0;
    for (bool moves = true;
         moves && parsed < link->filled && !parser->finished() && !parse_error;) {
      const std::size_t consumed = put(parser, link->bytes() + parsed, handler, parse_error);
      parsed += consumed;
      moves = consumed > 0;
    }
    if (parsed > 0) link->drop(parsed);
    if (!parse_error && (parser->paused() || !handler.has_room())) {
      co_await make_room(*link, *parser, handler);
    }
    result.head_arrived = parser->head_arrived();
    if (parser->undecodable()) {
      co_return failed(result, undecodable, *link, parser->bad_encoding());
    }
    if (parse_error) {
      if (parser->need() != body_need::more) co_return result;
      co_return failed(result, broken, *link,
                       fmt::format("the answer is not HTTP: {}", parse_error.message()));
    }

    if (parser->finished()) {
      if (may_serve_again(*parser, connector_.forwards()) && link->filled == 0) {
        links_->idle.put(std::move(link));
      }
      co_return result;
    }
    if (parser->need() == body_need::nothing) {
      if (parser->chunked() && may_serve_again(*parser, connector_.forwards())) {
        // Errors are ignored: the reply is complete, and only the connection cannot be reused.
        asio::co_spawn(context_,
                       drain(stream, std::move(link), links_, std::move(parser),
                             clock_.now() + drain_timeout, connector_.forwards()),
                       [](const std::exception_ptr&) {});
      }
      co_return result;
    }
    if (parser->need() != body_need::trailer) {
      closing = false;
      if (parser->got_some() || link->filled > 0)
        link->limit.set(relay_.idle_timeout, "--idle-timeout");
    } else if (!std::exchange(closing, true)) {
      link->limit.set(relay_.trailer_timeout, "the wait for usage");
    }
  }
}

// Waits until the handler has room for more. The timeouts are stopped during this wait, because the
// relay does not cause the delay.
asio::awaitable<void> beast_client::make_room(connection& link, response_parser& parser,
                                              counted_handler& handler) {
  while (!parser.finished() && !parser.undecodable() && parser.need() != body_need::nothing &&
         !link.given_up()) {
    if (handler.has_room()) {
      if (!parser.paused()) co_return;
      parser.go_on();
      continue;
    }
    link.limit.hold();
    co_await handler.wait_for_room(link.parked);
    link.limit.go_on();
  }
}

// Reads and drops the rest of a body, so that the connection can be used again. The caller of
// exchange() does not wait for this, and may destroy the client meanwhile.
template <typename Stream>
asio::awaitable<void> beast_client::drain(Stream& stream, connection_ptr link,
                                          std::shared_ptr<links> all,
                                          std::unique_ptr<response_parser> parser, time_point until,
                                          bool forwards) {
  const membership here(all, link.get());
  link->limit.begin(until, "");
  error_code broke;
  while (!parser->finished() && !broke && link->filled < link->buffer.size()) {
    auto [error, n] = co_await stream.async_read_some(link->room(), as_result);
    broke = error;
    if (!error) link->filled += n;
    if (!error) link->drop(parser->put_body(link->bytes(), broke));
  }
  if (!broke && parser->finished() && may_serve_again(*parser, forwards) && link->filled == 0) {
    all->idle.put(std::move(link));
  }
}

asio::awaitable<exchange_end> beast_client::exchange(outgoing request, response_handler& receiver) {
  const auto share = std::make_shared<reply_memory::share>(memory_);
  counted_handler handler(receiver, *share);
  time_point last_moment = clock_.now() + relay_.total_timeout;
  for (;;) {
    connection_ptr link = take_idle();
    const bool used_before = link != nullptr;
    if (!used_before) {
      link = connector_.make();
    }
    connection& current = *link;
    const membership here(links_, &current);
    const exchange_group::member in_group(
        request.group,
        [&current] {
          if (current.connecting) current.abort();
        },
        [&current] { current.abort(); });

    exchange_end result;
    current.limit.begin(last_moment, "--timeout");
    if (!used_before) {
      current.limit.set(relay_.connect_timeout, "--connect-timeout");
      current.connecting = true;
      result = co_await connector_.open(current);
      current.connecting = false;
      current.limit.end_step();
    }
    if (result.end != exchange_end::how::complete) co_return result;
    if (!sending_ || (request.group != nullptr && !request.group->sending()) ||
        !handler.may_send()) {
      co_return failed(result, exchange_end::how::unreachable, current, "interrupted");
    }
    if (stamps_) current.stream.stamp();
    handler.on_sending(!used_before);
    // No conditional expression: GCC 12 would start both.
    if (current.tls) {
      result = co_await talk(*current.tls, link, request, handler);
    } else {
      result = co_await talk(current.stream, link, request, handler);
    }
    if (used_before) {
      const bool stale =
          result.end == exchange_end::how::broken && !result.head_arrived && !link->aborted;
      stale_in_row_ = stale ? stale_in_row_ + 1 : 0;
      // The relay had already closed the connection. It got nothing of the request, or the request
      // may safely be sent twice: try another connection.
      const bool repeatable = !result.sent_any || request.method == verb::get;
      const bool sends = sending_ && (request.group == nullptr || request.group->sending());
      if (stale && repeatable && sends) {
        last_moment = link->limit.whole();
        continue;
      }
    }
    result.memory = share;
    co_return result;
  }
}

}  // namespace

std::unique_ptr<http_client> make_http_client(asio::io_context& context, clock& clock,
                                              const relay_options& relay,
                                              name_lookup::resolver resolve,
                                              std::shared_ptr<reply_memory> memory,
                                              std::shared_ptr<lookup_threads> lookups) {
  if (!memory) memory = make_reply_memory({&relay});
  if (!lookups) lookups = std::make_shared<lookup_threads>();
  return std::make_unique<beast_client>(context, clock, relay, std::move(resolve),
                                        std::move(memory), std::move(lookups));
}

std::shared_ptr<reply_memory> make_reply_memory(const std::vector<const relay_options*>& relays) {
  std::uint64_t most = 0;
  for (const relay_options* each : relays) {
    most = std::max({most, each->max_bytes_in_flight, each->max_response_bytes});
  }
  return std::make_shared<reply_memory>(most);
}

}  // namespace sluice
