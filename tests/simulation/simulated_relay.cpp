#include "simulation/simulated_relay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

namespace sluice::simulation {
namespace {

using how = exchange_end::how;
using namespace std::chrono_literals;

// The text between two marks of a body.
std::string between(std::string_view body, std::string_view before, char after) {
  const std::size_t begin = body.find(before);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = body.substr(begin + before.size());
  return std::string(rest.substr(0, rest.find(after)));
}

std::string error_body(std::string_view message, std::string_view code) {
  return fmt::format(R"({{"error":{{"message":"{}","type":"error","code":"{}"}}}})", message, code);
}

}  // namespace

token_price simulated_price() {
  static const price_table table = price_table::built_in();
  return *table.find(simulated_model);
}

simulated_relay::simulated_relay(test::manual_clock& clock, std::uint64_t seed, unsigned per_minute,
                                 duration first_byte_timeout)
    : clock_(clock),
      random_(seed),
      skew_(1 + std::uniform_real_distribution<double>(-300e-6, 300e-6)(random_)),
      per_minute_(per_minute),
      first_byte_timeout_(first_byte_timeout) {}

boost::asio::awaitable<exchange_end> simulated_relay::exchange(post request,
                                                               response_handler& handler) {
  ++in_flight_;
  exchange_end told;
  told.end = how::broken;
  told.message = "the connection broke";
  co_await follow(request, handler, told);
  --in_flight_;
  co_return told;
}

void simulated_relay::abort() {
  ++epoch_;
  for (auto* waiting : parked_) waiting->cancel();
}

void simulated_relay::cut_off() {
  connected_ = false;
  abort();
}

// False: the exchange was ended on the way.
boost::asio::awaitable<bool> simulated_relay::pass(duration time) {
  const std::uint64_t epoch = epoch_;
  parking parked(co_await boost::asio::this_coro::executor, parking::time_point::max());
  const auto place = parked_.insert(parked_.end(), &parked);
  const auto alarm = clock_.call_at(clock_.now() + time, [&parked] { parked.cancel(); });
  boost::system::error_code woken;
  co_await parked.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
  clock_.cancel(alarm);
  parked_.erase(place);
  co_return epoch == epoch_;
}

boost::asio::awaitable<void> simulated_relay::follow(post request, response_handler& handler,
                                                     exchange_end& told) {
  const bool connects = !chance(weather_.refused);
  if (!co_await pass(up_to(200ms)) || !connects || !sending_ || !connected_) {
    told.end = how::unreachable;
    told.message = "connection refused";
    co_return;
  }
  told.sent_any = true;
  if (chance(weather_.half_sent)) co_return;
  if (!co_await pass(up_to(50ms))) co_return;
  told.sent_whole = true;
  handler.on_sent();
  // From here on the request is on its way, whatever becomes of the client.
  const duration way = up_to(weather_.longest_way);
  const double arrival =
      std::chrono::duration<double>((clock_.now() + way).time_since_epoch()).count() * skew_;
  arrivals_.push_back(arrival);
  const std::string name = between(request.body, R"("user":")", '"');
  ++attempts_[name];
  if (watch) watch(fmt::format("{} arrives at {:.3f}", name, arrival));
  const bool lost = chance(weather_.lost);
  const bool stalled = chance(weather_.stalled);
  unsigned prompt = 0;
  unsigned completion = 0;
  if (lost || stalled) {
    if (chance(0.5)) bill(request, prompt, completion);
    duration silence = first_byte_timeout_;
    if (lost) silence = way + up_to(weather_.longest_head);
    if (!co_await pass(silence)) co_return;
    told.end = lost ? how::broken : how::timed_out;
    co_return;
  }
  const duration head_after = way + up_to(weather_.longest_head);
  if (!co_await pass(head_after)) {
    if (chance(0.5)) bill(request, prompt, completion);  // it served what nobody waits for
    co_return;
  }
  if (const auto refused = refusal(request)) {
    co_await answer(*refused, handler, told);
    co_return;
  }
  co_await serve(request, handler, told);
}

// What it says in the place of a reply, if it does.
std::optional<simulated_relay::saying> simulated_relay::refusal(post request) {
  const std::string json = "application/json";
  if (per_minute_ != 0 && chance(weather_.throttled)) {
    saying told{429, json, error_body("slow down", "rate_limit"), {}};
    if (chance(0.5)) told.hints["retry-after"] = std::to_string(1 + random_() % 20);
    return told;
  }
  if (chance(weather_.failing)) {
    if (chance(0.3)) return saying{502, "text/html", "<html>bad gateway</html>", {}};
    return saying{500, json, error_body("oops", "internal"), {}};
  }
  if (chance(weather_.denied)) return saying{400, json, error_body("no", "invalid_request"), {}};
  if (chance(weather_.error_in_200)) {
    unsigned prompt = 0;
    unsigned completion = 0;
    if (chance(0.3)) bill(request, prompt, completion);
    return saying{200, json, error_body("upstream broke", "upstream"), {}};
  }
  return std::nullopt;
}

boost::asio::awaitable<void> simulated_relay::answer(const saying& what, response_handler& handler,
                                                     exchange_end& told) {
  told.head_arrived = true;
  openai::response_head head;
  head.status = what.status;
  head.content_type = what.type;
  head.hints = what.hints;
  handler.on_head(std::move(head));
  const duration pause = up_to(20ms);
  if (!co_await pass(pause)) co_return;
  handler.on_body(what.body);
  told.end = how::complete;
}

// No more of either than the request allows.
usd simulated_relay::bill(post request, unsigned& prompt, unsigned& completion) {
  unsigned limit = 1;
  const std::string named = between(request.body, R"("max_tokens":)", ',');
  std::from_chars(named.data(), named.data() + named.size(), limit);
  prompt = 1 + static_cast<unsigned>(random_() % (request.body.size()));
  completion = 1 + static_cast<unsigned>(random_() % limit);
  if (chance(0.1)) prompt = static_cast<unsigned>(request.body.size());
  if (chance(0.3)) completion = limit;
  const usd cost = simulated_price().cost({prompt, 0, completion, 0});
  billed_ += cost;
  ++billed_attempts_;
  return cost;
}

boost::asio::awaitable<void> simulated_relay::serve(post request, response_handler& handler,
                                                    exchange_end& told) {
  unsigned prompt = 0;
  unsigned completion = 0;
  bill(request, prompt, completion);
  const std::string usage =
      fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})", prompt,
                  completion, prompt + completion);
  std::vector<std::string> pieces;
  if (request.streamed) {
    for (const char* text : {"one ", "two ", "three"}) {
      pieces.push_back(fmt::format(
          "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
          "\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"finish_reason\":null}}]}}"
          "\n\n",
          text));
    }
    pieces.push_back(
        "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    if (!chance(0.05)) {  // some relays forget it
      pieces.push_back(
          fmt::format("data: {{\"id\":\"c\",\"choices\":[],\"usage\":{}}}\n\n", usage));
    }
    pieces.emplace_back("data: [DONE]\n\n");
  } else {
    const std::string whole = fmt::format(
        R"({{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,)"
        R"("message":{{"role":"assistant","content":"one two three"}},"finish_reason":"stop"}}],)"
        R"("usage":{}}})",
        usage);
    pieces = {whole.substr(0, whole.size() / 2), whole.substr(whole.size() / 2)};
  }
  if (chance(weather_.cut)) pieces.resize(random_() % (request.streamed ? 4 : 2));
  const bool whole = pieces.size() > (request.streamed ? 4U : 1U);
  told.head_arrived = true;
  openai::response_head head;
  head.status = 200;
  head.content_type = request.streamed ? "text/event-stream" : "application/json";
  handler.on_head(std::move(head));
  for (const std::string& piece : pieces) {
    if (!co_await pass(up_to(100ms))) co_return;
    if (handler.on_body(piece) == openai::reply_reader::need::nothing) break;
  }
  told.end = whole ? how::complete : how::broken;
}

std::size_t simulated_relay::most_in_a_minute() const {
  auto events = arrivals_;
  std::sort(events.begin(), events.end());
  std::size_t most = 0;
  std::size_t first = 0;
  for (std::size_t last = 0; last < events.size(); ++last) {
    while (events[last] - events[first] >= 60) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

}  // namespace sluice::simulation
