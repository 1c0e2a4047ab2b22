#include "simulated_relay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <utility>

#include "base/hash.hpp"

namespace sluice::simulation {
namespace {

using namespace std::chrono_literals;
using how = exchange_end::how;
using need = body_need;

// The value of a member in the body: the text until the next comma, brace or quote.
std::string_view member_of(std::string_view body, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  std::size_t at = body.find(key);
  if (at == std::string_view::npos) return {};
  at += key.size();
  if (body[at] == '"') ++at;
  return body.substr(at, body.find_first_of("\",}", at) - at);
}

// The bytes of the body without the stream members that the engine appends.
std::string_view without_stream_members(std::string_view body) {
  const std::size_t at = body.find(R"(,"stream":)");
  return at == std::string_view::npos ? body : body.substr(0, at + 1);
}

// All values of a member that may appear several times. The case of its name does not matter.
std::vector<std::string> members_of(std::string_view body, std::string_view name) {
  std::string folded(body);
  std::transform(folded.begin(), folded.end(), folded.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string key = fmt::format("\"{}\":", name);
  std::vector<std::string> values;
  for (std::size_t at = folded.find(key); at != std::string::npos; at = folded.find(key, at)) {
    at += key.size();
    values.emplace_back(member_of(std::string_view(folded).substr(at - key.size()), name));
  }
  return values;
}

std::int64_t number_of(std::string_view text, std::int64_t otherwise) {
  std::int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

exchange_end with(exchange_end so_far, how end, std::string message) {
  so_far.end = end;
  so_far.message = std::move(message);
  return so_far;
}

}  // namespace

// How the relay answers one attempt that has arrived.
struct simulated_relay::reply_plan {
  duration before_head{};
  bool with_head = true;
  response_head head = {};
  std::vector<std::pair<duration, std::string>> body = {};
  bool whole = true;   // true: the body is complete; false: the connection breaks, or hangs
  bool hangs = false;  // the connection stays open without data
};

simulated_relay::parked::parked(const boost::asio::any_io_executor& loop)
    : timer(loop, boost::asio::steady_timer::time_point::max()) {}

const relay_attempt* simulated_relay::by_reply(const std::string& request_id) const {
  const auto number = number_of(std::string_view(request_id).substr(0, 4) == "req_"
                                    ? std::string_view(request_id).substr(4)
                                    : std::string_view(),
                                -1);
  if (number < 0 || static_cast<std::size_t>(number) >= attempts_.size()) return nullptr;
  return &attempts_[static_cast<std::size_t>(number)];
}

namespace {

std::size_t most_in_a_minute_of(std::vector<double> counted) {
  std::sort(counted.begin(), counted.end());
  std::size_t most = 0;
  std::size_t first = 0;
  for (std::size_t last = 0; last < counted.size(); ++last) {
    while (counted[last] - counted[first] >= 60) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

}  // namespace

std::size_t simulated_relay::most_in_a_minute(std::size_t window, std::size_t process) const {
  std::vector<double> counted;
  for (const auto& one : attempts_) {
    if (one.process == process && character_.windows[one.member] == window) {
      counted.push_back(one.counted_at);
    }
  }
  return most_in_a_minute_of(std::move(counted));
}

std::size_t simulated_relay::most_in_a_minute(std::size_t window) const {
  std::vector<double> counted = foreign_.at(window);
  for (const auto& one : attempts_) {
    if (character_.windows[one.member] == window) counted.push_back(one.counted_at);
  }
  return most_in_a_minute_of(std::move(counted));
}

std::vector<http_client*> simulated_relay::doors() const {
  std::vector<http_client*> all;
  for (const auto& one : doors_) all.push_back(one.get());
  return all;
}

weather simulated_relay::weather_now(std::size_t member) const {
  const time_point now = time_.now();
  for (const auto& spell : character_.spells) {
    if (spell.member.value_or(member) != member) continue;
    if (spell.from <= now && now < spell.until) return spell.kind;
  }
  return weather::fair;
}

boost::asio::awaitable<simulated_relay::passed> simulated_relay::door::pass(flight& mine,
                                                                            duration time,
                                                                            time_point limit,
                                                                            bool connecting) {
  if (world_.dead_) co_return passed::called_off;
  parked here(co_await boost::asio::this_coro::executor);
  here.connecting = connecting;
  mine.at = &here;
  const auto place = parked_.insert(parked_.end(), &here);
  const time_point when = std::min(limit, world_.time_.now() + time);
  const bool late = world_.time_.now() + time > limit;
  const auto alarm = world_.time_.call_at(when, [&here] { here.timer.cancel(); });
  boost::system::error_code woken;
  co_await here.timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
  world_.time_.cancel(alarm);
  parked_.erase(place);
  mine.at = nullptr;
  if (here.called_off || world_.dead_) co_return passed::called_off;
  if (late) co_return passed::too_late;
  co_return passed::in_time;
}

void simulated_relay::door::stop_sending() {
  sending_ = false;
  for (auto* one : parked_) {
    if (!one->connecting) continue;
    one->called_off = true;
    one->timer.cancel();
  }
}

void simulated_relay::door::abort() {
  for (auto* one : parked_) {
    one->called_off = true;
    one->timer.cancel();
  }
}

boost::asio::awaitable<exchange_end> simulated_relay::door::exchange(outgoing request,
                                                                     response_handler& handler) {
  ++world_.in_flight_;
  world_.most_in_flight = std::max(world_.most_in_flight, world_.in_flight_);
  flight mine;
  const exchange_group::member in_group(
      request.group, [&mine] { mine.call_off(true); }, [&mine] { mine.call_off(false); });
  exchange_end end = co_await talk(request, handler, mine);
  --world_.in_flight_;
  if (!world_.dead_) {
    world_.trace_.note("exchange of {} ends: {} {}{}{} {}", member_of(request.body, "user"),
                       static_cast<int>(end.end), end.sent_any ? "any " : "",
                       end.sent_whole ? "whole " : "", end.head_arrived ? "head" : "", end.message);
  }
  co_return end;
}

boost::asio::awaitable<exchange_end> simulated_relay::door::talk(outgoing request,
                                                                 response_handler& handler,
                                                                 flight& mine) {
  exchange_end result;
  const time_point started = world_.time_.now();
  const time_point last_moment = started + world_.limits_.total_timeout;

  const weather before = world_.weather_now(member_);
  const bool unreachable =
      before == weather::down || world_.random_.below(100) * 5 < world_.character_.trouble_percent;
  duration connecting = world_.random_.span(1ms, 300ms);
  if (unreachable && world_.random_.percent(20))
    connecting = world_.limits_.connect_timeout * 2;  // no answer
  const time_point connect_limit =
      started + std::min(world_.limits_.connect_timeout, world_.limits_.total_timeout);
  const passed connected = co_await pass(mine, connecting, connect_limit, true);
  const bool sends = sending_ && (request.group == nullptr || request.group->sending());
  if (connected == passed::called_off || !sends || world_.dead_) {
    co_return with(result, how::unreachable, "interrupted");
  }
  if (connected == passed::too_late) co_return with(result, how::unreachable, "--connect-timeout");
  if (unreachable) co_return with(result, how::unreachable, "connection refused");

  // The relay's number for this attempt. Other attempts may have arrived while this one was
  // connecting.
  const std::size_t number = world_.attempts_.size();
  relay_attempt& attempt = world_.attempts_.emplace_back();
  attempt.id = member_of(request.body, "user");
  attempt.key = request.idempotency_key;
  attempt.body = hash_of(request.body).low;
  attempt.streamed = request.streamed;
  attempt.process = world_.process_;
  attempt.member = member_;
  attempt.version = number_of(member_of(request.body, "seed"), 0);
  result.sent_any = true;
  const duration way = world_.random_.span(0ms, world_.character_.longest_way);
  attempt.counted_at = world_.moment_of(world_.time_.now() + way);
  const bool broken_early = world_.random_.below(200) < world_.character_.trouble_percent;
  world_.trace_.note("attempt {} of {}{}", number, attempt.id, broken_early ? ", not whole" : "");
  if (broken_early) {
    const passed waited = co_await pass(mine, world_.random_.span(0ms, 200ms), last_moment);
    if (waited == passed::too_late) co_return with(result, how::timed_out, "--timeout");
    co_return with(result, how::broken, "the connection broke while sending");
  }
  attempt.whole = true;
  result.sent_whole = true;
  reply_plan planned = world_.plan(request, number, before);
  handler.on_sent();

  time_point limit = last_moment;
  if (request.streamed)
    limit = std::min(limit, world_.time_.now() + world_.limits_.first_byte_timeout);
  const passed answered = co_await pass(mine, way + planned.before_head, limit);
  if (answered == passed::called_off) co_return with(result, how::broken, "aborted");
  if (answered == passed::too_late) co_return with(result, how::timed_out, "--first-byte-timeout");
  if (!planned.with_head) {
    co_return with(result, how::broken, "the connection broke before the head of the reply");
  }
  result.head_arrived = true;
  handler.on_head(planned.head);
  need wanted = need::more;
  for (const auto& [delay, piece] : planned.body) {
    limit = std::min(last_moment, world_.time_.now() + world_.limits_.idle_timeout);
    if (wanted == need::trailer)
      limit = std::min(last_moment, world_.time_.now() + world_.limits_.trailer_timeout);
    const passed came = co_await pass(mine, delay, limit);
    if (came == passed::called_off) co_return with(result, how::broken, "aborted");
    if (came == passed::too_late) co_return with(result, how::timed_out, "--idle-timeout");
    wanted = handler.on_body(piece);
    if (wanted == need::nothing) co_return result;
  }
  if (planned.hangs) {
    const passed waited = co_await pass(
        mine, 24h, std::min(last_moment, world_.time_.now() + world_.limits_.idle_timeout));
    if (waited == passed::called_off) co_return with(result, how::broken, "aborted");
    co_return with(result, how::timed_out, "--idle-timeout");
  }
  if (!planned.whole) {
    co_return with(result, how::broken, "the connection broke after the head of the reply");
  }
  co_return result;
}

void simulated_relay::bill(relay_attempt& attempt, const outgoing& request) {
  const auto size = static_cast<std::int64_t>(request.body.size());
  attempt.usage.prompt_tokens = random_.between(1, size);
  attempt.usage.cached_tokens =
      random_.percent(30) ? random_.between(0, attempt.usage.prompt_tokens) : 0;
  attempt.usage.completion_tokens =
      random_.between(0, number_of(member_of(request.body, "max_tokens"), 1));
  const std::string_view model = member_of(request.body, "model");
  if (const auto price = prices_.find(model, endpoint::chat_completions)) {
    // The relay computes the bill itself, token by token.
    const token_rates& rates = price->standard.base;
    const usd input = *rates[token_kind::input];
    const usd cached = rates[token_kind::cached_input].value_or(input);
    for (std::int64_t i = 0; i < attempt.usage.prompt_tokens; ++i) {
      attempt.cost += i < attempt.usage.cached_tokens ? cached : input;
    }
    for (std::int64_t i = 0; i < attempt.usage.completion_tokens; ++i)
      attempt.cost += *rates[token_kind::output];
  }
}

void simulated_relay::bill_by_tariff(relay_attempt& attempt, const outgoing& request,
                                     duration until_end) {
  tariff& bills = *character_.bills;
  const std::string_view body = without_stream_members(request.body);
  const auto largest = [&](std::string_view name) {
    std::int64_t most = 1;
    for (const auto& value : members_of(body, name)) most = std::max(most, number_of(value, 1));
    return most;
  };
  const std::int64_t most_prompt = static_cast<std::int64_t>(body.size());
  const std::int64_t most_reply = largest("max_tokens") * largest("n") * largest("best_of");
  token_usage& usage = attempt.usage;
  if (bills.greedy()) {
    usage.prompt_tokens = most_prompt;
    usage.cache_write_tokens = most_prompt;
    usage.completion_tokens = most_reply;
    usage.reasoning_tokens = most_reply;
  } else {
    usage.prompt_tokens = random_.between(1, most_prompt);
    usage.cached_tokens = random_.percent(30) ? random_.between(0, usage.prompt_tokens) : 0;
    usage.cache_write_tokens =
        random_.percent(30) ? random_.between(0, usage.prompt_tokens - usage.cached_tokens) : 0;
    usage.completion_tokens = random_.between(0, most_reply);
    usage.reasoning_tokens = random_.percent(30) ? random_.between(0, usage.completion_tokens) : 0;
  }
  std::vector<std::string> asked = members_of(body, "service_tier");
  if (asked.empty()) asked.emplace_back("auto");
  attempt.tier = bills.serving_tier(asked);
  const double now = time_.unix_now();
  attempt.cost =
      bills.bill(usage, attempt.tier, now, now + std::chrono::duration<double>(until_end).count());
}

// Serves the request and bills it.
void simulated_relay::serve(reply_plan& planned, const outgoing& request, std::size_t number) {
  relay_attempt& attempt = attempts_[number];
  attempt.billed = true;
  if (character_.bills) {
    bill_by_tariff(attempt, request, planned.before_head);
  } else {
    bill(attempt, request);
  }
  const std::string_view model = member_of(request.body, "model");
  billed_ += attempt.cost;
  trace_.note("  bills attempt {}: {}", number, attempt.cost.to_string());

  const bool tells_usage = !random_.percent(character_.no_usage_percent);
  const std::string usage =
      tells_usage
          ? fmt::format(
                R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{}}}}})",
                attempt.usage.prompt_tokens, attempt.usage.completion_tokens,
                attempt.usage.total_tokens(), attempt.usage.cached_tokens,
                attempt.usage.cache_write_tokens, attempt.usage.reasoning_tokens)
          : "null";
  const std::string tier =
      attempt.tier.empty() ? "" : fmt::format(R"("service_tier":"{}",)", attempt.tier);
  const bool of_chat = request.path.ends_with("/chat/completions");
  const std::int64_t choices = number_of(member_of(request.body, "n"), 1);
  const bool malformed =
      character_.malformed_percent > 0 && random_.percent(character_.malformed_percent);
  const std::string text = fmt::format("{}{} #{}", malformed ? "? " : "", attempt.id, number);
  planned.head.status = 200;
  if (request.streamed && !random_.percent(10)) {
    planned.head.fields.add("Content-Type", "text/event-stream");
    const std::string_view object = of_chat ? "chat.completion.chunk" : "text_completion";
    const auto event = [&](std::int64_t choice, std::string_view piece, std::string_view finish) {
      const std::string content = of_chat ? fmt::format(R"("delta":{{"content":"{}"}})", piece)
                                          : fmt::format(R"("text":"{}")", piece);
      return fmt::format(
          R"(data: {{"id":"c","object":"{}","created":1,"model":"{}",{}"choices":[{{"index":{},{},"finish_reason":{}}}]}})"
          "\n\n",
          object, model, tier, choice, content, finish);
    };
    const auto gap = [&] { return random_.span(0ms, 800ms); };
    for (std::int64_t choice = 0; choice < choices; ++choice) {
      planned.body.emplace_back(gap(), event(choice, "", "null"));
      planned.body.emplace_back(gap(), event(choice, text.substr(0, 2), "null"));
      planned.body.emplace_back(gap(), event(choice, text.substr(2), R"("stop")"));
    }
    if (tells_usage) {
      planned.body.emplace_back(
          gap(),
          fmt::format(
              R"(data: {{"id":"c","object":"{}","created":1,"model":"{}",{}"choices":[],"usage":{}}})"
              "\n\n",
              object, model, tier, usage));
    }
    planned.body.emplace_back(gap(), "data: [DONE]\n\n");
    return;
  }
  planned.head.fields.add("Content-Type", "application/json");
  std::string all;
  for (std::int64_t choice = 0; choice < choices; ++choice) {
    const std::string content =
        of_chat ? fmt::format(R"("message":{{"role":"assistant","content":"{}"}})", text)
                : fmt::format(R"("text":"{}")", text);
    all += fmt::format(R"({}{{"index":{},{},"finish_reason":"stop"}})", choice == 0 ? "" : ",",
                       choice, content);
  }
  const std::string whole = fmt::format(
      R"({{"id":"c","object":"{}","created":1,"model":"{}",{}"choices":[{}],"usage":{}}})",
      of_chat ? "chat.completion" : "text_completion", model, tier, all, usage);
  const std::size_t half = whole.size() / 2;
  planned.body.emplace_back(random_.span(0ms, 500ms), whole.substr(0, half));
  planned.body.emplace_back(random_.span(0ms, 500ms), whole.substr(half));
}

simulated_relay::reply_plan simulated_relay::plan(const outgoing& request, std::size_t number,
                                                  weather now) {
  reply_plan planned;
  planned.before_head = random_.span(0ms, character_.longest_head);
  planned.head.fields.add("X-Request-Id", fmt::format("req_{}", number));
  planned.head.fields.add("Content-Type", "application/json");
  const auto refuse = [&](int status, std::string_view code) {
    planned.head.status = status;
    planned.body = {{random_.span(0ms, 100ms),
                     fmt::format(R"({{"error":{{"message":"no {}","type":"error","code":"{}"}}}})",
                                 status, code)}};
  };
  if (now == weather::fair && random_.percent(character_.trouble_percent)) {
    constexpr weather kinds[] = {weather::refusing, weather::failing, weather::stalling,
                                 weather::cutting, weather::webpage};
    now = kinds[random_.below(std::size(kinds))];
  }
  switch (now) {
    case weather::refusing:
      refuse(429, "rate_limit_exceeded");
      if (random_.percent(40)) {
        planned.head.fields.add("retry-after", fmt::format("{}", random_.between(1, 20)));
      } else if (random_.percent(20)) {
        planned.head.fields.add("retry-after-ms", fmt::format("{}", random_.between(1, 3000)));
      }
      return planned;
    case weather::failing: {
      constexpr int statuses[] = {500, 502, 503, 504, 408, 409, 524};
      refuse(statuses[random_.below(std::size(statuses))], "server_error");
      return planned;
    }
    case weather::unpaid:
      refuse(random_.percent(50) ? 402 : 429, "insufficient_quota");
      return planned;
    case weather::webpage:
      planned.head.status = random_.percent(50) ? 200 : 502;
      planned.head.fields.add("Content-Type", "text/html");
      planned.body = {{duration{}, "<html><body>busy</body></html>"}};
      return planned;
    case weather::stalling:
      if (random_.percent(70)) serve(planned, request, number);
      if (random_.percent(50)) {
        planned.before_head = 24h;  // later than every timeout
      } else {
        planned.body.resize(random_.below(planned.body.size()));
        planned.hangs = true;
      }
      if (planned.head.status == 0) planned.head.status = 200;
      return planned;
    case weather::cutting:
      serve(planned, request, number);
      if (random_.percent(30)) {
        planned.with_head = false;
      } else if (random_.percent(30)) {  // an error inside a 200 response
        planned.head.fields.add("Content-Type", "application/json");
        planned.body = {{duration{}, R"({"error":{"message":"upstream","code":"upstream"}})"}};
      } else {
        planned.body.resize(random_.below(planned.body.size()));
        planned.whole = false;
      }
      return planned;
    case weather::fair:
    case weather::down:
      break;
  }
  if (character_.refused.contains(attempts_[number].id)) {
    refuse(400, "invalid_request");
    return planned;
  }
  serve(planned, request, number);
  return planned;
}

}  // namespace sluice::simulation
