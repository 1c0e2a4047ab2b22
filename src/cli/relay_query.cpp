#include "cli/relay_query.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <deque>
#include <utility>

#include "cli/blocking_client.hpp"
#include "cli/log_observer.hpp"
#include "cli/screen/screen.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

// Short, because a person waits for the answer.
constexpr std::chrono::seconds usual_timeout{30};

asio::awaitable<void> send_query(http_client& client, const clock& time, const relay_member& member,
                                 const relay_query& query, relay_reply& reply) {
  relay_inquiry relay(client, member.relay, &log_observer());
  co_await query(relay, time, member, reply);
}

// False: a signal ended it.
bool query_relay(const relay_member& member, const relay_query& query, relay_reply& reply) {
  blocking_client asking(member.relay);
  return asking.run_interruptibly(send_query(asking.client(), asking.time(), member, query, reply));
}

void print_documents(const std::vector<relay_member>& members, std::deque<relay_reply>& replies,
                     bool by_name) {
  if (!by_name) return print(*replies.front().document);
  auto relays = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].document) {
      relays[members[i].name] = std::move(*replies[i].document);
    } else {
      relays[members[i].name] = {{"error", replies[i].why_not}};
    }
  }
  print(nlohmann::ordered_json{{"relays", std::move(relays)}});
}

void print_lines(const std::deque<relay_reply>& replies) {
  std::string lines;
  for (const auto& reply : replies) {
    if (!lines.empty() && !reply.lines.empty()) lines += "\n";
    lines += reply.lines;
  }
  print(lines);
}

// If no relay answered, the end of the last exchange decides.
exit_status status_of(const std::deque<relay_reply>& replies, std::size_t answered) {
  if (answered == replies.size()) return success;
  if (answered > 0) return some_failed;
  using enum exchange_end::how;
  const auto end = replies.back().end;
  const bool wrong_settings =
      end == wrong_server || end == bad_certificate || end == refused_by_proxy;
  return wrong_settings ? cannot_start : stopped;
}

}  // namespace

query_settings::query_settings() {
  run.engine.relay.total_timeout = usual_timeout;
}

std::vector<setting> query_flags(query_settings& target, const std::set<std::string>& more) {
  std::set<std::string> flags{
      "base-url", "api-key-file",    "header",       "simulate",           "relay",
      "insecure", "connect-timeout", "idle-timeout", "max-response-bytes", "timeout",
      "quiet",    "json-log",        "verbose",      "log-file",           "color",
      "lang"};
  flags.insert(more.begin(), more.end());
  auto table = run_flags(target.run, flags);
  describe(table, "timeout", "Longest time for a whole answer",
           "A question fails when its answer is not complete after this time. Raise it for a relay "
           "that answers slowly.",
           "30s");
  describe(table, "quiet", "Show nothing but errors",
           "Shows only errors on standard error. The result on standard output stays the same.");
  describe(
      table, "verbose", "Log every request to the relay",
      "Logs each request to the relay with the status of its answer. Use it to see why a relay "
      "does not answer.");
  table.push_back(json_flag(target.json));
  return table;
}

relay_needs needs_of(const query_settings& chosen, relay_use use) {
  return {.use = use,
          .simulated_balance = chosen.simulated_balance,
          .simulated_cache = chosen.simulated_cache};
}

exit_status query_relays(query_settings& chosen, const relay_query& query,
                         const std::function<void(prepared_relays&)>& prepare) {
  run_settings& run = chosen.run;
  screen shown;
  shown.choose_colour(run.colour);
  shown.choose_language(run.spoken);
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  prepared_relays relays(run, shown, needs_of(chosen, relay_use::ask));
  if (prepare) prepare(relays);
  std::deque<relay_reply> replies;
  std::size_t answered = 0;
  for (const auto& member : relays.members()) {
    relay_reply& reply = replies.emplace_back();
    if (!query_relay(member, query, reply)) return interrupted;
    if (reply.document) {
      ++answered;
    } else {
      spdlog::error("{}", reply.why_not);
    }
  }
  const bool by_name = !run.engine.pool.empty() && chosen.run.only_relay.empty();
  if (answered > 0 && chosen.json) print_documents(relays.members(), replies, by_name);
  if (answered > 0 && !chosen.json) print_lines(replies);
  return status_of(replies, answered);
}

}  // namespace sluice::cli
