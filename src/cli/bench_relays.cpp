#include "cli/bench_relays.hpp"
#include "cli/log_observer.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "base/refuse.hpp"
#include "upstream/hint_spread.hpp"
#include "upstream/shared_window.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

// The default maximum of requests in a search for the limit.
constexpr std::uint64_t most_search_requests = 10'000;

// The number of connections that the system allows at the same time, minus a reserve for other
// files.
std::size_t most_connections() {
  constexpr rlim_t other_files = 64;
  constexpr std::size_t many = 1'000'000;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return many;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur == RLIM_INFINITY) return many;
  return std::max<std::size_t>(files.rlim_cur - std::min(files.rlim_cur, other_files), 1);
}

void check_connections(const bench_settings& chosen, std::size_t targets) {
  const auto most = std::max_element(chosen.concurrency.begin(), chosen.concurrency.end());
  if (most == chosen.concurrency.end()) return;
  const std::size_t open = most_connections();
  if (*most * targets <= open) return;
  refuse(
      fmt::format("--concurrency {}: the system allows {} open connections; lower it, or "
                  "allow more with ulimit -n",
                  *most, open / targets));
}

// A search uses its ceiling instead of the usual limit.
unsigned cap_of(const relay_member& member, const pace_options& pace,
                const bench_settings& chosen) {
  if (chosen.find_limit) return chosen.ceiling;
  return member.requests_per_minute.value_or(pace.requests_per_minute);
}

std::unique_ptr<bench::request_supply> make_supply(const job_options& lines,
                                                   const bench_settings& chosen,
                                                   std::uint64_t seed) {
  if (!chosen.jobs.empty()) return std::make_unique<bench::job_supply>(chosen.jobs, lines);
  const bench::synthetic_supply::options asked{.model = chosen.model,
                                               .prompt_tokens = chosen.prompt_tokens,
                                               .max_tokens = chosen.max_tokens,
                                               .seed = seed};
  return std::make_unique<bench::synthetic_supply>(asked, lines);
}

}  // namespace

bench_relays::bench_relays(boost::asio::io_context& loop, clock& time, const config& options,
                           const std::vector<relay_member>& members, const bench_settings& chosen,
                           std::uint64_t seed)
    : loop_(loop), time_(time), pace_(options.pace), chosen_(chosen) {
  check_connections(chosen, members.size());
  window_opener windows(pace_, &log_observer());
  std::set<std::string> names;
  for (const auto& member : members) {
    const std::string name = window_name(member.relay);
    if (!names.insert(name).second) {
      refuse(
          fmt::format("target {} has the address and the key of another one, and would share "
                      "its limit; leave out one of them",
                      member.name));
    }
    parts& one = all_.emplace_back();
    one.store = windows.open(name);
    const unsigned cap = cap_of(member, pace_, chosen);
    const rate_limiter::options limit{cap, pace_.window_margin, pace_.pace, pace_.tokens_per_minute,
                                      one.store.get()};
    one.gate = std::make_unique<start_gate>(time, limit, most_connections() / members.size());
    one.client = make_http_client(loop, time, member.relay);
    one.client->stamp_arrivals();
    one.supply = make_supply(options.job, chosen, seed);
    one.measured =
        std::make_unique<bench::target>(member, cap, *one.client, *one.gate, *one.supply);
    one.measured->seen_by = &log_observer();
    one.measured->capped = cap != 0 || pace_.tokens_per_minute != 0;
    const duration longest = pace_.max_wait + upstream::most_hint_spread(pace_.max_wait);
    one.gate->watch_pauses(
        longest, [&time = time_, &measured = *one.measured](std::size_t, time_point until) {
          if (measured.stopped) return;
          const double left = std::chrono::duration<double>(until - time.now()).count();
          measured.stopped = bench::target_cutoff::stop{
              .misconfigured = false,
              .sentence = fmt::format(
                  "the relay asked another run to wait for {} more, longer than --max-wait",
                  short_time(left))};
          measured.gate.close();
        });
  }
}

std::vector<bench::target*> bench_relays::targets() {
  std::vector<bench::target*> list;
  for (auto& one : all_) list.push_back(one.measured.get());
  return list;
}

void bench_relays::check_budget(const bench::spending& money) const {
  if (!money.limit()) return;
  for (const auto& one : all_) {
    one.supply->visit([&](const request& asked) { money.check(one.measured->member.name, asked); });
  }
}

std::vector<bench::limit_search*> bench_relays::searches(bench::spending& money,
                                                         const std::string& id) {
  std::vector<bench::limit_search*> list;
  for (auto& one : all_) {
    bench::limit_search::options asked{.finder = {},
                                       .id = fmt::format("{}-{}", id, list.size()),
                                       .max_wait = pace_.max_wait,
                                       .window = one.store.get(),
                                       .window_margin = pace_.window_margin};
    asked.finder.ceiling = chosen_.ceiling;
    asked.finder.max_requests = static_cast<unsigned>(std::min(
        chosen_.requests != 0 ? chosen_.requests : most_search_requests, most_search_requests));
    one.search = std::make_unique<bench::limit_search>(loop_.get_executor(), time_, *one.measured,
                                                       money, asked);
    list.push_back(one.search.get());
  }
  return list;
}

void bench_relays::leave() {
  for (auto& one : all_) {
    one.client->stop_sending();
    one.client->abort();
  }
}

}  // namespace sluice::cli
