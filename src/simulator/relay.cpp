#include "simulator/relay.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "simulator/account_api.hpp"
#include "simulator/inference_service.hpp"
#include "simulator/json_append.hpp"
#include "simulator/ledger.hpp"
#include "simulator/pacing.hpp"
#include "simulator/random.hpp"
#include "simulator/script.hpp"

namespace sluice::simulator {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// Network errors are returned as values here, not thrown.
using as_result = asio::as_tuple_t<asio::use_awaitable_t<>>;
using tcp_socket = as_result::as_default_on_t<tcp::socket>;
using tcp_acceptor = as_result::as_default_on_t<tcp::acceptor>;
using timer = as_result::as_default_on_t<asio::steady_timer>;
using parser = http::request_parser<http::string_body>;
using message = parser::value_type;

constexpr std::uint64_t largest_body = 128U << 20U;
constexpr std::chrono::minutes longest_silence{10};

struct connection;
using connections = std::unordered_set<connection*>;

struct connection {
  connection(tcp_socket accepted, connections& all_open)
      : socket(std::move(accepted)), clock(socket.get_executor()), open(all_open) {
    open.insert(this);
  }
  ~connection() { open.erase(this); }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  tcp_socket socket;
  timer clock;
  boost::beast::flat_buffer buffer;
  bool reads_head = false;  ///< waits for a request head; no deadline before its first byte
  time_point due = time_point::max();  ///< the deadline for the client's next progress
  connections& open;
};

/// Makes sure that an attempt is finished in the ledger exactly once, however its coroutine ends.
class open_attempt {
 public:
  open_attempt(ledger& book, time_point arrived) : arrived_(arrived), book_(&book) {}
  ~open_attempt() { close("client_closed", false); }
  open_attempt(const open_attempt&) = delete;
  open_attempt& operator=(const open_attempt&) = delete;

  void close(std::string_view outcome, bool delivered) {
    if (book_ == nullptr) return;
    record.took = std::chrono::steady_clock::now() - arrived_;
    std::exchange(book_, nullptr)->finish(record, outcome, delivered);
  }

  attempt record;

 private:
  time_point arrived_;
  ledger* book_;
};

/// One HTTP request, with what is known from its head.
struct call {
  std::string_view path;  ///< without the query
  std::string_view query;
  std::string request_id;
  bool keep_alive = true;
  bool chunked = true;  ///< the client understands chunked encoding
  bool head_only = false;
  std::optional<std::size_t> account;
  std::optional<endpoint> inference;
  std::optional<script> refusal;  ///< the refusal, if the head alone already decides it
  std::uint64_t pace = 0;         ///< the seed for the delays of the reply
};

std::int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string_view as_view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

/// The key in `Authorization: Bearer KEY`; empty if there is none.
std::string_view key_of(const message& head) {
  constexpr std::string_view scheme = "bearer ";
  const auto value = as_view(head[http::field::authorization]);
  const auto matches = [](char a, char b) { return (a | 0x20) == (b | 0x20) || a == b; };
  if (value.size() <= scheme.size() ||
      !std::equal(scheme.begin(), scheme.end(), value.begin(), matches))
    return {};
  return value.substr(scheme.size());
}

/// Whether a client is still there. After a FIN (`half_closed`) it may still read, or it may have
/// closed the socket: only a write to it shows which.
enum class client_state { connected, half_closed, gone };

client_state state_of(connection& peer) {
  pollfd socket{peer.socket.native_handle(), POLLRDHUP, 0};
  ::poll(&socket, 1, 0);
  if ((socket.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return client_state::gone;
  return (socket.revents & POLLRDHUP) != 0 ? client_state::half_closed : client_state::connected;
}

/// Whether the client's TCP has acknowledged everything that was written.
bool acknowledged(connection& peer) {
  int waiting = 0;
  return ::ioctl(peer.socket.native_handle(), SIOCOUTQ, &waiting) != 0 || waiting == 0;
}

std::string head_of(const script& reply, const call& call) {
  std::string head;
  append(head, "HTTP/1.1 ", reply.status, " ", reason_of(reply.status),
         "\r\nContent-Type: ", reply.content_type, "\r\nX-Oneapi-Request-Id: ", call.request_id,
         "\r\n", reply.extra_headers);
  if (reply.steps.empty())
    append(head, "Content-Length: ", reply.announced, "\r\n");
  else
    append(head, "Cache-Control: no-cache\r\n",
           call.chunked ? "Transfer-Encoding: chunked\r\n" : "");
  append(head, call.keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
  return head;
}

void append_chunk(std::string& out, std::string_view data, bool framed) {
  if (data.empty()) return;
  if (framed) fmt::format_to(std::back_inserter(out), "{:x}\r\n", data.size());
  out += data;
  if (framed) out += "\r\n";
}

}  // namespace

struct relay::impl {
  explicit impl(options initial)
      : settings(std::move(initial)),
        book(settings),
        account_routes(settings.kind, book, inference_service::prices()),
        inference(settings),
        plan(settings.faults),
        base_url(listen()) {
    for (std::size_t index = 0; index < settings.keys.size(); ++index)
      accounts.emplace(settings.keys[index].secret, index);
  }

  connections open;  // must outlive the server, whose coroutines own the connections

  // Lives until stop(). Destroying it ends every connection.
  struct server {
    asio::io_context io{1};
    tcp_acceptor acceptor{io};
  };

  options settings;
  ledger book;  // used only on the serving thread while it runs
  account_api account_routes;
  inference_service inference;
  fault_plan plan;
  std::unordered_map<std::string, std::size_t> accounts;
  std::uint64_t calls = 0;
  std::uint16_t port = 0;
  std::unique_ptr<server> server_ = std::make_unique<server>();
  std::string base_url;
  mutable std::mutex lifetime;  // protects `thread` and `server_`; never locked on that thread
  std::thread thread;

  std::string listen();
  asio::awaitable<void> accept_all();
  asio::awaitable<void> drop_stalled_clients();
  asio::awaitable<void> serve(tcp_socket socket);
  asio::awaitable<bool> exchange(connection& peer);
  asio::awaitable<bool> perform(connection& peer, const call& call, const script& reply);
  asio::awaitable<bool> send(connection& peer, std::string_view bytes, random* ragged);
  asio::awaitable<bool> write(connection& peer, std::string_view first, std::string_view rest = {});
  void expect_progress(connection& peer) const;
  asio::awaitable<bool> finish(connection& peer, const call& call, ending end);
  asio::awaitable<bool> wait(connection& peer, time_point until);
  asio::awaitable<bool> was_received(connection& peer);

  call arrive(const message& head, time_point now, std::optional<open_attempt>& attempt);
  script decide(call& call, const std::string& body, open_attempt& attempt);
  script look_up(const call& call, const message& head);
  std::string new_request_id();
  template <class Task>
  std::string ask(Task task);
};

// Binding and threads

std::string relay::impl::listen() {
  error_code error;
  const auto address = asio::ip::make_address(settings.address, error);
  const auto fail = [&] {
    throw std::runtime_error(fmt::format(
        "cannot listen on {}:{}: {}; choose another port with --port (0: any free port)",
        settings.address, settings.port, error.message()));
  };
  if (error) fail();
  auto& acceptor = server_->acceptor;
  const tcp::endpoint local(address, settings.port);
  acceptor.open(local.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(local, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  if (error) fail();
  return address.is_v6() ? fmt::format("http://[{}]:{}/v1", settings.address, port)
                         : fmt::format("http://{}:{}/v1", settings.address, port);
}

relay::relay(simulator::options options) : impl_(std::make_unique<impl>(std::move(options))) {}

relay::~relay() {
  stop();
}

std::uint16_t relay::port() const {
  return impl_->port;
}

std::string relay::base_url() const {
  return impl_->base_url;
}

void relay::start() {
  const std::lock_guard lock(impl_->lifetime);
  if (!impl_->server_ || impl_->thread.joinable()) return;
  auto& io = impl_->server_->io;
  const auto must_not_fail = [](const std::exception_ptr& failure) {
    if (failure) std::rethrow_exception(failure);
  };
  asio::co_spawn(io, impl_->accept_all(), must_not_fail);
  asio::co_spawn(io, impl_->drop_stalled_clients(), must_not_fail);
  impl_->thread = std::thread([&io] { io.run(); });
}

void relay::stop() {
  const std::lock_guard lock(impl_->lifetime);
  if (!impl_->server_) return;
  impl_->server_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->server_.reset();
}

/// Runs the task on the serving thread. It is posted twice, so that all writes that were finished
/// before this call are in the ledger first. Exception: replies that a half-closed client has not
/// acknowledged yet (see ledger::finish).
template <class Task>
std::string relay::impl::ask(Task task) {
  const std::lock_guard lock(lifetime);
  if (!thread.joinable()) return task();
  std::packaged_task<std::string()> question(std::move(task));
  auto& io = server_->io;
  asio::post(io, [&] { asio::post(io, [&] { question(); }); });
  return question.get_future().get();
}

std::string relay::ledger_json(bool with_requests) const {
  return impl_->ask([this, with_requests] { return impl_->book.json(with_requests); });
}

std::string relay::ledger_summary() const {
  return impl_->ask([this] { return impl_->book.summary(); });
}

// Connections

asio::awaitable<void> relay::impl::accept_all() {
  auto& [io, acceptor] = *server_;
  timer pause(io);
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept();
    if (error) {
      // Most likely there is no free file descriptor: wait until some are closed.
      pause.expires_after(std::chrono::milliseconds(50));
      co_await pause.async_wait();
      continue;
    }
    asio::co_spawn(io, serve(tcp_socket(std::move(socket))),
                   [this](const std::exception_ptr& failure) {
                     try {
                       if (failure) std::rethrow_exception(failure);
                     } catch (const std::exception& cause) {
                       if (settings.tell)
                         settings.tell(fmt::format("a connection was dropped: {}", cause.what()));
                     }
                   });
  }
}

/// Drops clients whose deadline has passed. One loop checks all of them a few times per deadline: a
/// timer for every read and write would be slow, and the deadline need not be exact.
asio::awaitable<void> relay::impl::drop_stalled_clients() {
  timer pause(server_->io);
  for (;;) {
    pause.expires_after(settings.patience / 4);
    co_await pause.async_wait();
    const auto now = std::chrono::steady_clock::now();
    for (auto* const peer : open) {
      if (peer->reads_head && peer->buffer.size() == 0) {
        expect_progress(*peer);
      } else if (peer->due < now) {
        error_code ignored;
        peer->socket.cancel(ignored);
      }
    }
  }
}

void relay::impl::expect_progress(connection& peer) const {
  peer.due = std::chrono::steady_clock::now() + settings.patience;
}

asio::awaitable<void> relay::impl::serve(tcp_socket socket) {
  connection peer(std::move(socket), open);
  error_code ignored;
  peer.socket.set_option(tcp::no_delay(true), ignored);
  while (co_await exchange(peer)) {
  }
  peer.socket.shutdown(tcp::socket::shutdown_both, ignored);
}

/// Serves one request. Returns whether the connection can be used for another one.
asio::awaitable<bool> relay::impl::exchange(connection& peer) {
  parser parser;
  // Read the head whatever body size it announces: the call counts for the rate limit.
  parser.body_limit(boost::none);
  peer.reads_head = true;
  expect_progress(peer);
  const auto [head_error, head_bytes] =
      co_await http::async_read_header(peer.socket, peer.buffer, parser);
  peer.reads_head = false;
  peer.due = time_point::max();
  if (head_error) {
    if (head_error.category() != make_error_code(http::error::body_limit).category() ||
        head_error == http::error::end_of_stream || head_error == http::error::partial_message)
      co_return false;
    call unreadable;
    unreadable.request_id = new_request_id();
    unreadable.keep_alive = false;
    const auto reply =
        error_reply({400, head_error.message(), "read_request_body_failed"}, unreadable.request_id);
    co_await perform(peer, unreadable, reply);
    co_return false;
  }

  std::optional<open_attempt> attempt;
  auto call = arrive(parser.get(), std::chrono::steady_clock::now(), attempt);
  bool too_large = parser.content_length().value_or(0) > largest_body;
  if (!too_large && !parser.is_done()) {
    if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue") &&
        !co_await send(peer, "HTTP/1.1 100 Continue\r\n\r\n", nullptr))
      co_return false;
    parser.body_limit(largest_body);
    error_code body_error;
    while (!body_error && !parser.is_done()) {
      expect_progress(peer);
      const auto [error, bytes] = co_await http::async_read_some(peer.socket, peer.buffer, parser);
      body_error = error;
    }
    peer.due = time_point::max();
    too_large = body_error == http::error::body_limit;
    if (body_error && !too_large) co_return false;
  }
  if (too_large) {
    call.keep_alive = false;
    call.refusal =
        error_reply({413, "the body is too large", "read_request_body_failed"}, call.request_id);
  }

  if (!attempt) {
    const auto reply = look_up(call, parser.get());
    const bool written = co_await perform(peer, call, reply);
    co_return written&& call.keep_alive;
  }

  const auto reply = decide(call, parser.get().body(), *attempt);
  const bool written = co_await perform(peer, call, reply);
  if (written)
    attempt->close(reply.outcome, reply.delivered);
  else
    attempt->close("client_closed", false);
  co_return written&& co_await finish(peer, call, reply.end);
}

/// Sends the script with its delays. False if the client leaves before it has received everything.
asio::awaitable<bool> relay::impl::perform(connection& peer, const call& call,
                                           const script& reply) {
  pacing pace(settings.ttft, settings.itl, call.pace);
  auto due = std::chrono::steady_clock::now();
  if (reply.thinks) due += pace.first() + pace.tokens(reply.tokens_before);
  if (!co_await wait(peer, due)) co_return false;
  if (reply.sends_nothing) co_return true;

  auto* const ragged = reply.ragged ? &pace.chance() : nullptr;
  std::string out = head_of(reply, call);
  if (reply.steps.empty()) {
    if (ragged != nullptr) {
      out += reply.body;
      if (!co_await send(peer, out, ragged)) co_return false;
      co_return co_await was_received(peer);
    }
    if (!co_await write(peer, out, call.head_only ? std::string_view() : reply.body))
      co_return false;
    co_return co_await was_received(peer);
  }

  // All parts that are due now are sent as one chunk.
  std::size_t sent = 0;
  for (std::size_t step = 0; step < reply.steps.size();) {
    if (!co_await wait(peer, due)) co_return false;
    const auto now = std::chrono::steady_clock::now();
    const auto begin = sent;
    while (step < reply.steps.size() && due <= now) {
      sent = reply.steps[step++];
      due += pace.next();
    }
    append_chunk(out, std::string_view(reply.body).substr(begin, sent - begin), call.chunked);
    if (step == reply.steps.size() && reply.end == ending::whole && call.chunked)
      out += "0\r\n\r\n";
    if (!co_await send(peer, out, ragged)) co_return false;
    out.clear();
  }
  co_return co_await was_received(peer);
}

asio::awaitable<bool> relay::impl::send(connection& peer, std::string_view bytes, random* ragged) {
  constexpr std::uint32_t largest_piece = 100;
  // Never split the end of the stream from the end of its chunks: a client that has read the first
  // may close the connection, and the reply must still count as delivered.
  constexpr std::size_t unsplit = std::string_view("[DONE]\n\n\r\n0\r\n\r\n").size();
  while (!bytes.empty()) {
    std::size_t length = ragged == nullptr ? bytes.size() : ragged->below(largest_piece) + 1;
    if (length + unsplit > bytes.size()) length = bytes.size();
    const auto piece = bytes.substr(0, length);
    if (!co_await write(peer, piece)) co_return false;
    bytes.remove_prefix(piece.size());
  }
  co_return true;
}

/// Writes everything, unless the client stops reading.
asio::awaitable<bool> relay::impl::write(connection& peer, std::string_view first,
                                         std::string_view rest) {
  constexpr std::size_t most_at_once = 64U << 10U;
  const auto go_on = [&](const error_code& error, std::size_t) -> std::size_t {
    expect_progress(peer);
    return error ? 0 : most_at_once;
  };
  const std::array<asio::const_buffer, 2> bytes{asio::buffer(first), asio::buffer(rest)};
  const auto [error, sent] = co_await asio::async_write(peer.socket, bytes, go_on, as_result());
  peer.due = time_point::max();
  co_return !error;
}

/// Ends the reply as the script says. Returns whether the connection can be used again.
asio::awaitable<bool> relay::impl::finish(connection& peer, const call& call, ending end) {
  error_code ignored;
  switch (end) {
    case ending::whole:
      co_return call.keep_alive;
    case ending::closed:
      break;
    case ending::reset:
      peer.socket.set_option(asio::socket_base::linger(true, 0), ignored);
      peer.socket.close(ignored);
      break;
    case ending::silence: {
      const auto until = std::chrono::steady_clock::now() + longest_silence;
      while (std::chrono::steady_clock::now() < until &&
             state_of(peer) == client_state::connected) {
        peer.clock.expires_after(std::chrono::milliseconds(50));
        co_await peer.clock.async_wait();
      }
      break;
    }
  }
  co_return false;
}

/// Waits until `until`. False if the client has left meanwhile.
asio::awaitable<bool> relay::impl::wait(connection& peer, time_point until) {
  if (until <= std::chrono::steady_clock::now()) co_return true;
  peer.clock.expires_at(until);
  co_await peer.clock.async_wait();
  co_return state_of(peer) != client_state::gone;
}

/// Whether a client that can read it received the reply: see ledger::finish.
asio::awaitable<bool> relay::impl::was_received(connection& peer) {
  const auto until = std::chrono::steady_clock::now() + settings.patience;
  for (;;) {
    const auto state = state_of(peer);
    if (state == client_state::gone) co_return false;
    if (state == client_state::connected || acknowledged(peer)) co_return true;
    if (std::chrono::steady_clock::now() > until) co_return false;
    peer.clock.expires_after(std::chrono::milliseconds(1));
    co_await peer.clock.async_wait();
  }
}

// Decisions

/// Counts the call when its head has arrived, before the body is read, as real rate limiters do.
call relay::impl::arrive(const message& head, time_point now,
                         std::optional<open_attempt>& attempt) {
  call call;
  const auto target = as_view(head.target());
  const auto mark = std::min(target.find('?'), target.size());
  call.path = target.substr(0, mark);
  call.query = target.substr(std::min(mark + 1, target.size()));
  call.request_id = new_request_id();
  call.keep_alive = head.version() >= 11 && head.keep_alive();
  call.chunked = head.version() >= 11;
  call.head_only = head.method() == http::verb::head;

  const auto key = key_of(head);
  if (settings.keys.empty()) {
    if (!key.empty()) call.account = 0;
  } else if (const auto found = accounts.find(std::string(key)); found != accounts.end()) {
    call.account = found->second;
  }
  if (head.method() == http::verb::post) call.inference = endpoint_at(call.path);
  if (!call.inference) return call;

  attempt.emplace(book, now);
  attempt->record.unix_time = unix_seconds();
  const auto name = as_view(head["Idempotency-Key"]);
  attempt->record.idempotency_key = name;
  attempt->record.request = XXH3_64bits(name.data(), name.size());
  if (!call.account) {
    book.arrive_unknown(now);
    call.refusal = error_reply({401, key.empty() ? "未提供令牌" : "无效的令牌", "invalid_api_key"},
                               call.request_id);
    return call;
  }
  attempt->record.account = *call.account;
  if (book.arrive(*call.account, now)) return call;
  const int rpm = settings.keys.empty() ? settings.rpm : settings.keys[*call.account].rpm;
  call.refusal =
      settings.mode == limit_mode::leaky
          ? html_reply(503)
          : error_reply({429,
                         fmt::format("您已达到总请求数限制：1分钟内最多请求{}次，包括失败次数，"
                                     "请检查您的请求是否正确",
                                     rpm),
                         ""},
                        call.request_id);
  return call;
}

script relay::impl::decide(call& call, const std::string& body, open_attempt& attempt) {
  if (attempt.record.idempotency_key.empty())
    attempt.record.request = XXH3_64bits(body.data(), body.size());
  if (call.refusal) return *std::move(call.refusal);

  const auto understood = inference.understand(*call.inference, body, ++calls);
  if (const auto* error = std::get_if<api_error>(&understood))
    return error_reply(*error, call.request_id);
  const auto& request = std::get<inference_request>(understood);

  // Like real relays, require enough balance for the prompt and the longest reply beforehand.
  if (!book.can_pay(*call.account, inference.worst_cost(request, unix_seconds())))
    return error_reply(
        {403, fmt::format("用户额度不足, 剩余额度: ${}", book.remaining(*call.account).to_string()),
         "insufficient_user_quota"},
        call.request_id);
  if (const auto refusal = inference.refusal_of(request))
    return error_reply(*refusal, call.request_id);

  const auto fault = plan.next(request.digest, attempt.record.idempotency_key);
  if (fault != fault_kind::none) book.count_fault(fault);

  call.pace = request.digest;
  attempt.record.model = request.model;
  attempt.record.streamed = request.stream;
  auto outcome = inference.serve(request, fault, unix_seconds(), call.request_id);
  if (outcome.reply.billed) book.charge(attempt.record, outcome.usage, outcome.cost);
  return std::move(outcome.reply);
}

/// The reply to everything that is not inference.
script relay::impl::look_up(const call& call, const message& head) {
  if (call.refusal) return *call.refusal;
  const bool get = head.method() == http::verb::get || call.head_only;
  if (get && call.path == "/simulator/ledger")
    return json_reply(200, book.json(call.query.find("requests=1") != std::string_view::npos));

  const account_request request{call.path,     call.query,      !key_of(head).empty(),
                                call.account,  call.request_id, std::chrono::steady_clock::now(),
                                unix_seconds()};
  auto answer = get ? account_routes.answer(request) : std::nullopt;
  if (answer) return *std::move(answer);
  return error_reply(
      {404, fmt::format("Invalid URL ({} {})", as_view(head.method_string()), call.path), "",
       "invalid_request_error"},
      call.request_id);
}

/// The date and time in nanoseconds, and eight random letters.
std::string relay::impl::new_request_id() {
  const auto now = std::chrono::system_clock::now();
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  const std::chrono::nanoseconds rest = now - second;
  random letters(mix(settings.seed, static_cast<std::uint64_t>(now.time_since_epoch().count())));
  auto id = fmt::format("{:%Y%m%d%H%M%S}{:09}",
                        fmt::gmtime(std::chrono::system_clock::to_time_t(now)), rest.count());
  for (int count = 0; count < 8; ++count) id += static_cast<char>('a' + letters.below(26));
  return id;
}

}  // namespace sluice::simulator
