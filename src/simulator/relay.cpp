#include "simulator/relay.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unordered_map>

#include "async/steady_clock.hpp"
#include "http/server/server.hpp"
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
using http_server::client_state;
using http_server::raw_end;
using http_server::request_head;
using client = http_server::exchange;  // one request of a client, and the means to answer it

// When the time is over, the result is a value and not an exception.
using timer = asio::as_tuple_t<asio::use_awaitable_t<>>::as_default_on_t<asio::steady_timer>;

constexpr std::uint64_t largest_body = 128U << 20U;
constexpr std::chrono::minutes longest_silence{10};
// maximum idle time of a connection, as in the pools of clients
constexpr std::chrono::hours longest_idle{24};

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

  time_point arrived() const { return arrived_; }

  attempt record;

 private:
  time_point arrived_;
  ledger* book_;
};

/// One HTTP request, with what is known from its head.
struct call {
  std::string_view path;
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

/// The key in `Authorization: Bearer KEY`; empty if there is none.
std::string_view key_of(const request_head& head) {
  constexpr std::string_view scheme = "bearer ";
  const auto value = head.fields.last("Authorization").value_or("");
  const auto matches = [](char a, char b) { return (a | 0x20) == (b | 0x20) || a == b; };
  if (value.size() <= scheme.size() ||
      !std::equal(scheme.begin(), scheme.end(), value.begin(), matches))
    return {};
  return value.substr(scheme.size());
}

/// What the account routes need to know about the call.
account_request account_question(const call& call, const request_head& head) {
  return {call.path,     call.query,      !key_of(head).empty(),
          call.account,  call.request_id, std::chrono::steady_clock::now(),
          unix_seconds()};
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

// Never split the end of a stream from the end of its chunks: a client that has read the first may
// close the connection, and the reply must still count as delivered.
constexpr std::string_view unsplit_data = "[DONE]\n\n";
constexpr std::string_view after_data = "\r\n0\r\n\r\n";

/// The length of the next piece of `left` bytes, the last of which stay together.
std::size_t ragged_length(std::size_t left, std::size_t unsplit, random& chance) {
  constexpr std::uint32_t largest_piece = 100;
  const std::size_t length = chance.below(largest_piece) + 1;
  return length + unsplit > left ? left : length;
}

/// Appends the data as one chunk; if it is ragged, as several.
void append_chunks(std::string& out, std::string_view data, bool framed, random* ragged) {
  while (!data.empty()) {
    const auto length = ragged == nullptr || !framed
                            ? data.size()
                            : ragged_length(data.size(), unsplit_data.size(), *ragged);
    if (framed) fmt::format_to(std::back_inserter(out), "{:x}\r\n", length);
    out += data.substr(0, length);
    if (framed) out += "\r\n";
    data.remove_prefix(length);
  }
}

/// Waits until `until`. False if the client has left meanwhile.
asio::awaitable<bool> wait(client& peer, time_point until) {
  if (until <= std::chrono::steady_clock::now()) co_return true;
  timer alarm(co_await asio::this_coro::executor, until);
  co_await alarm.async_wait();
  co_return peer.client() != client_state::gone;
}

/// Sends the bytes; if they are ragged, in pieces with a pause after some of them. Without a pause,
/// the client reads many pieces at once.
asio::awaitable<bool> send(client& peer, std::string_view bytes, random* ragged) {
  constexpr std::uint32_t pieces_a_pause = 16;
  while (!bytes.empty()) {
    const auto length =
        ragged == nullptr
            ? bytes.size()
            : ragged_length(bytes.size(), unsplit_data.size() + after_data.size(), *ragged);
    const bool sent = co_await peer.write_raw(bytes.substr(0, length));
    if (!sent) co_return false;
    bytes.remove_prefix(length);
    if (bytes.empty() || ragged->below(pieces_a_pause) != 0) continue;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    const bool stayed = co_await wait(peer, until);
    if (!stayed) co_return false;
  }
  co_return true;
}

/// Ends the reply as the script says.
asio::awaitable<void> finish(client& peer, const call& call, ending end) {
  switch (end) {
    case ending::whole:
      peer.end_raw(call.keep_alive ? raw_end::complete : raw_end::last);
      co_return;
    case ending::closed:
      break;
    case ending::reset:
      peer.end_raw(raw_end::reset);
      co_return;
    case ending::silence: {
      timer alarm(co_await asio::this_coro::executor);
      const auto until = std::chrono::steady_clock::now() + longest_silence;
      while (std::chrono::steady_clock::now() < until && peer.client() == client_state::connected) {
        alarm.expires_after(std::chrono::milliseconds(50));
        co_await alarm.async_wait();
      }
      break;
    }
  }
  peer.end_raw(raw_end::broken);
}

/// The body of the request; nullopt if it is too large.
asio::awaitable<std::optional<std::string>> read_body(client& peer) {
  std::string body;
  if (peer.head().content_length.value_or(0) > largest_body) co_return std::nullopt;
  for (;;) {
    const std::string_view piece = co_await peer.read_piece();
    if (piece.empty()) break;
    body += piece;
    if (body.size() > largest_body) co_return std::nullopt;
  }
  co_return body;
}

/// The address on which the relay listens, as options of its HTTP server.
http_server::server_options listening(const options& settings) {
  http_server::server_options chosen;
  chosen.address = settings.address;
  chosen.port = settings.port;
  chosen.max_connections = std::numeric_limits<std::size_t>::max();
  chosen.head_timeout = settings.patience;
  chosen.idle_timeout = longest_idle;
  chosen.body_timeout = settings.patience;
  chosen.min_body_bytes = 1;
  return chosen;
}

}  // namespace

struct relay::impl {
  explicit impl(options initial)
      : settings(std::move(initial)),
        book(settings),
        account_routes(settings.kind, book, inference_service::prices()),
        inference(settings),
        plan(settings.faults) {
    for (std::size_t index = 0; index < settings.keys.size(); ++index)
      accounts.emplace(settings.keys[index].secret, index);
    listen();
  }

  /// Lives until stop(). Destroying it ends every connection.
  struct serving {
    explicit serving(impl& owner)
        : http(
              io, clock, listening(owner.settings),
              [&owner](client& peer) { return owner.serve(peer); },
              [&owner](int status, std::string_view message) {
                header_fields fields;
                fields.add("Content-Type", "application/json");
                return http_server::refusal_answer{
                    std::move(fields),
                    error_reply({status, std::string(message), "read_request_body_failed"},
                                owner.new_request_id())
                        .body};
              }) {}

    asio::io_context io{1};
    steady_clock clock{io};
    http_server::server http;
  };

  options settings;
  ledger book;  // used only on the serving thread while it runs
  account_api account_routes;
  inference_service inference;
  fault_plan plan;
  std::unordered_map<std::string, std::size_t> accounts;
  std::uint64_t calls = 0;
  std::uint16_t port = 0;
  std::unique_ptr<serving> server;
  std::string base_url;
  // protects `thread` and `server`; never locked on the serving thread
  mutable std::mutex lifetime;
  std::thread thread;

  void listen();
  asio::awaitable<void> serve(client& peer);
  asio::awaitable<void> exchange(client& peer);
  asio::awaitable<bool> perform(client& peer, const call& call, const script& reply);
  asio::awaitable<bool> was_received(client& peer);

  call arrive(const request_head& head, time_point now, std::optional<open_attempt>& attempt);
  script decide(call& call, const std::string& body, open_attempt& attempt);
  script look_up(const call& call, const request_head& head);
  std::string new_request_id();
  template <class Task>
  std::string ask(Task task);
};

// Binding and threads

void relay::impl::listen() {
  try {
    server = std::make_unique<serving>(*this);
  } catch (const std::exception& fault) {
    throw std::runtime_error(fmt::format("{} with --port (0: any free port)", fault.what()));
  }
  port = server->http.port();
  const bool is_v6 = settings.address.find(':') != std::string::npos;
  base_url = is_v6 ? fmt::format("http://[{}]:{}/v1", settings.address, port)
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
  if (!impl_->server || impl_->thread.joinable()) return;
  auto& io = impl_->server->io;
  impl_->thread = std::thread([&io] {
    const auto work = asio::make_work_guard(io);
    io.run();
  });
}

void relay::stop() {
  const std::lock_guard lock(impl_->lifetime);
  if (!impl_->server) return;
  impl_->server->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->server.reset();
}

/// Runs the task on the serving thread. It is posted twice, so that all writes that were finished
/// before this call are in the ledger first. Exception: replies that a half-closed client has not
/// acknowledged yet (see ledger::finish).
template <class Task>
std::string relay::impl::ask(Task task) {
  const std::lock_guard lock(lifetime);
  if (!thread.joinable()) return task();
  std::packaged_task<std::string()> question(std::move(task));
  auto& io = server->io;
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

asio::awaitable<void> relay::impl::serve(client& peer) {
  try {
    co_await exchange(peer);
  } catch (const http_server::body_error&) {
    peer.end_raw(raw_end::broken);
  } catch (const std::exception& cause) {
    if (settings.tell) settings.tell(fmt::format("a connection was dropped: {}", cause.what()));
    peer.end_raw(raw_end::broken);
  }
}

/// Serves one request.
asio::awaitable<void> relay::impl::exchange(client& peer) {
  std::optional<open_attempt> attempt;
  auto call = arrive(peer.head(), std::chrono::steady_clock::now(), attempt);
  const auto body = co_await read_body(peer);
  if (!body) {
    call.keep_alive = false;
    call.refusal =
        error_reply({413, "the body is too large", "read_request_body_failed"}, call.request_id);
  }
  const auto reply =
      attempt ? decide(call, body.value_or(""), *attempt) : look_up(call, peer.head());
  const bool received = co_await perform(peer, call, reply);
  if (attempt && received) attempt->close(reply.outcome, reply.delivered);
  if (attempt && !received) attempt->close("client_closed", false);
  if (received)
    co_await finish(peer, call, reply.end);
  else
    peer.end_raw(raw_end::broken);
}

/// Sends the script with its delays. False if the client leaves before it has received everything.
asio::awaitable<bool> relay::impl::perform(client& peer, const call& call, const script& reply) {
  pacing pace(settings.ttft, settings.itl, call.pace);
  auto due = std::chrono::steady_clock::now();
  if (reply.thinks) due += pace.first() + pace.tokens(reply.tokens_before);
  std::string out = head_of(reply, call);
  if (reply.early_head) {
    if (!co_await peer.write_raw(out)) co_return false;
    out.clear();
  }
  if (!co_await wait(peer, due)) co_return false;
  if (reply.sends_nothing) co_return true;

  auto* const ragged = reply.ragged ? &pace.chance() : nullptr;
  if (reply.steps.empty()) {
    if (ragged != nullptr) {
      out += reply.body;
      if (!co_await send(peer, out, ragged)) co_return false;
      co_return co_await was_received(peer);
    }
    const std::string_view whole = call.head_only ? std::string_view() : reply.body;
    if (!co_await peer.write_raw(out, whole)) co_return false;
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
    append_chunks(out, std::string_view(reply.body).substr(begin, sent - begin), call.chunked,
                  ragged);
    if (step == reply.steps.size() && reply.end == ending::whole && call.chunked)
      out += "0\r\n\r\n";
    if (!co_await send(peer, out, ragged)) co_return false;
    out.clear();
  }
  co_return co_await was_received(peer);
}

/// Whether a client that can read it received the reply: see ledger::finish.
asio::awaitable<bool> relay::impl::was_received(client& peer) {
  const auto until = std::chrono::steady_clock::now() + settings.patience;
  timer alarm(co_await asio::this_coro::executor);
  for (;;) {
    const auto state = peer.client();
    if (state == client_state::gone) co_return false;
    if (state == client_state::connected || peer.acknowledged()) co_return true;
    if (std::chrono::steady_clock::now() > until) co_return false;
    alarm.expires_after(std::chrono::milliseconds(1));
    co_await alarm.async_wait();
  }
}

// Decisions

/// Counts the call when its head has arrived, before the body is read, as real rate limiters do.
call relay::impl::arrive(const request_head& head, time_point now,
                         std::optional<open_attempt>& attempt) {
  call call;
  call.path = head.path;
  call.query = head.query;
  call.request_id = new_request_id();
  call.keep_alive = head.takes_chunks && head.keep_alive;
  call.chunked = head.takes_chunks;
  call.head_only = head.method == "HEAD";

  const auto key = key_of(head);
  if (settings.keys.empty()) {
    if (!key.empty()) call.account = 0;
  } else if (const auto found = accounts.find(std::string(key)); found != accounts.end()) {
    call.account = found->second;
  }
  if (head.method == "POST") call.inference = endpoint_at(call.path);
  if (!call.inference) return call;

  attempt.emplace(book, now);
  attempt->record.unix_time = unix_seconds();
  const auto name = head.fields.last("Idempotency-Key").value_or("");
  attempt->record.idempotency_key = name;
  attempt->record.request = XXH3_64bits(name.data(), name.size());
  if (!call.account) {
    book.arrive_unknown(now);
    call.refusal = error_reply({401, key.empty() ? "未提供令牌" : "无效的令牌", "invalid_api_key"},
                               call.request_id);
    return call;
  }
  attempt->record.account = *call.account;
  const bool admitted = book.arrive(*call.account, now);
  call.refusal = account_routes.refusal(account_question(call, head), true);
  if (admitted || call.refusal) return call;
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
  if (call.account) book.check_hints(attempt.record, attempt.arrived());
  if (call.refusal) return *std::move(call.refusal);

  const auto understood = inference.understand(*call.inference, body, ++calls);
  if (const auto* error = std::get_if<api_error>(&understood))
    return error_reply(*error, call.request_id);
  const auto& request = std::get<inference_request>(understood);

  // Like real relays, require that the balance covers the prompt and the longest possible reply.
  // A key that has nothing left is refused by arrive().
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
  if (outcome.reply.hint.count() > 0)
    book.give_hint(attempt.record, std::chrono::steady_clock::now(), outcome.reply.hint);
  return std::move(outcome.reply);
}

/// The reply to all requests that are not inference.
script relay::impl::look_up(const call& call, const request_head& head) {
  if (call.refusal) return *call.refusal;
  const bool get = head.method == "GET" || call.head_only;
  if (get && call.path == "/simulator/ledger")
    return json_reply(200, book.json(call.query.find("requests=1") != std::string_view::npos));

  auto answer = get ? account_routes.answer(account_question(call, head)) : std::nullopt;
  if (answer) return *std::move(answer);
  return error_reply({404, fmt::format("Invalid URL ({} {})", head.method, call.path), "",
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
