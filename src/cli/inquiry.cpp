#include "cli/inquiry.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <utility>

#include "cli/log_observer.hpp"
#include "cli/lone_client.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/settings/suggestion.hpp"
#include "cli/views/heading.hpp"
#include "cli/views/screen.hpp"
#include "http/base_url.hpp"
#include "sluice/error.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

// A person waits for the answer.
constexpr std::chrono::seconds usual_timeout{30};

void require_name(const std::string& name, const std::vector<relay_member>& pool) {
  std::vector<std::string> names;
  for (const auto& member : pool) {
    if (member.name == name) return;
    names.push_back(member.name);
  }
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--relay {}: the config file has no [[relay]] of that name{}{}", name,
                  names.empty() ? ", or --base-url or --simulate stands in for them" : "",
                  did_you_mean(name, names)));
}

// By their places: the keys stand beside the members.
void leave_only(const std::string& name, run_settings& run) {
  for (std::size_t i = run.engine.pool.size(); i-- > 0;) {
    if (run.engine.pool[i].name == name) continue;
    run.engine.pool.erase(run.engine.pool.begin() + static_cast<std::ptrdiff_t>(i));
    run.pool_keys.erase(run.pool_keys.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace

std::vector<relay_member> find_members(inquiry_settings& chosen, bool simulated) {
  run_settings& run = chosen.run;
  if (!chosen.relay.empty()) {
    require_name(chosen.relay, run.engine.pool);
    leave_only(chosen.relay, run);
  }
  if (!simulated) require_keys(run);
  run.engine.check_relays();
  if (!simulated) find_proxies(run.engine);
  return run.engine.relays();
}

namespace {

asio::awaitable<void> put_to(http_client& client, const clock& time, const relay_member& member,
                             const question& put, relay_told& told) {
  relay_inquiry relay(client, member.relay, &log_observer());
  co_await put(relay, time, member, told);
}

// False when a signal broke it off.
bool ask(const relay_member& member, const question& put, relay_told& told) {
  lone_client asking(member.relay);
  return asking.run_interruptibly(put_to(asking.client(), asking.time(), member, put, told));
}

void print_documents(const std::vector<relay_member>& members, std::deque<relay_told>& all,
                     bool by_name) {
  if (!by_name) return print(*all.front().document);
  auto relays = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].document) {
      relays[members[i].name] = std::move(*all[i].document);
    } else {
      relays[members[i].name] = {{"error", all[i].why_not}};
    }
  }
  print(nlohmann::ordered_json{{"relays", std::move(relays)}});
}

void print_lines(const std::deque<relay_told>& all) {
  std::string lines;
  for (const auto& told : all) {
    if (!lines.empty() && !told.lines.empty()) lines += "\n";
    lines += told.lines;
  }
  print(lines);
}

// By the exchange with the last one, where none has told.
exit_status status_of(const std::deque<relay_told>& all, std::size_t told) {
  if (told == all.size()) return success;
  if (told > 0) return some_failed;
  using enum exchange_end::how;
  const auto end = all.back().end;
  return end == bad_certificate || end == refused_by_proxy ? cannot_start : stopped;
}

}  // namespace

inquiry_settings::inquiry_settings() {
  run.engine.relay.total_timeout = usual_timeout;
}

std::vector<setting> inquiry_flags(inquiry_settings& target, const std::set<std::string>& more) {
  std::set<std::string> flags{"base-url", "api-key-file",    "header",       "simulate",
                              "insecure", "connect-timeout", "idle-timeout", "max-response-bytes",
                              "timeout",  "quiet",           "verbose",      "log-file"};
  flags.insert(more.begin(), more.end());
  auto table = run_flags(target.run, flags);
  for (auto& entry : table) {
    if (entry.name == "timeout") entry.help = "For a whole answer (30s)";
    if (entry.name == "quiet") entry.help = "Nothing but errors";
    if (entry.name == "verbose") entry.help = "Log every question";
  }
  table.push_back({.name = "relay",
                   .value = "NAME",
                   .help = "Ask this one of the [[relay]] tables alone",
                   .group = "Relay",
                   .apply = [&target](const std::string& name) { target.relay = name; },
                   .in_config = false});
  table.push_back({.name = "json",
                   .help = "Print one JSON document",
                   .group = "Screen and log",
                   .apply = [&target](const std::string& on) { target.json = parse_switch(on); },
                   .in_config = false});
  return table;
}

exit_status ask_relays(inquiry_settings& chosen, const question& put,
                       const std::function<void()>& prepare) {
  run_settings& run = chosen.run;
  screen shown;
  start_log(shown, run.verbose, run.quiet, run.log_file);
  const auto simulated = run.simulate ? start_simulator(run, chosen.simulated_balance) : nullptr;
  const auto members = find_members(chosen, simulated != nullptr);
  // The answer, or why there is none, names a relay that the user has named.
  if (!run.config_file.empty()) {
    shown.heading(heading(run, simulated != nullptr));
    shown.show_heading();
  }
  warn_of_exposed_keys(run.engine);
  if (prepare) prepare();
  std::deque<relay_told> all;
  std::size_t told = 0;
  for (const auto& member : members) {
    relay_told& answer = all.emplace_back();
    if (!ask(member, put, answer)) return interrupted;
    if (answer.document) {
      ++told;
    } else {
      spdlog::error("{}", answer.why_not);
    }
  }
  const bool by_name = !run.engine.pool.empty() && chosen.relay.empty();
  if (told > 0 && chosen.json) print_documents(members, all, by_name);
  if (told > 0 && !chosen.json) print_lines(all);
  return status_of(all, told);
}

}  // namespace sluice::cli
