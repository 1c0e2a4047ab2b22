#include "scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "shape_check.hpp"
#include "support/manual_clock.hpp"

namespace sluice::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view bad_texts[] = {"nonsense", "[1]", R"({"custom_id":"x","method":"GET"})",
                                          R"({"model":"m","messages":3,)"};

void write_jobs(scenario& made, dice random, bool priced) {
  const std::size_t count = random.percent(70) ? 1 : 2;
  for (std::size_t job = 0; job < count; ++job) {
    std::string text;
    std::vector<std::string> ids;
    made.bad_lines.emplace_back();
    const std::int64_t lines = random.percent(80) ? random.between(1, 9) : random.between(1, 30);
    for (std::int64_t line = 1; line <= lines; ++line) {
      const bool bad = line > 1 && random.percent(6);
      const bool repeated = !bad && !ids.empty() && random.percent(4);
      if (bad) {
        text += bad_texts[random.below(std::size(bad_texts))];
        text += '\n';
        made.bad_lines.back().insert(static_cast<std::uint64_t>(line));
        continue;
      }
      const std::string id =
          repeated ? ids[random.below(ids.size())] : fmt::format("{}-{}", job, line);
      if (repeated) {
        made.bad_lines.back().insert(static_cast<std::uint64_t>(line));
      } else {
        ids.push_back(id);
        made.requests.insert(id);
      }
      const char* model = priced || !random.percent(10) ? "m" : "unpriced";
      text += fmt::format(
          R"({{"custom_id":"{}","model":"{}","user":"{}","seed":0,"max_tokens":{},"messages":[{{"role":"user","content":"hi"}}]}})"
          "\n",
          id, model, id, random.between(1, 40));
    }
    made.jobs.push_back(std::move(text));
  }
}

void choose_weather(scenario& made, dice random) {
  relay_character& relay = made.relay;
  relay.clock_rate = 1 + static_cast<double>(random.between(-300, 300)) * 1e-6;
  if (random.percent(30)) relay.longest_way = 20ms;
  if (random.percent(30)) relay.longest_head = 40s;
  constexpr unsigned shares[] = {0, 0, 5, 15, 40};
  relay.trouble_percent = shares[random.below(std::size(shares))];
  if (random.percent(20)) relay.no_usage_percent = 30;
  for (const auto& id : made.requests) {
    if (random.percent(4)) relay.refused.insert(id);
  }
  const time_point start = test::manual_clock().now();
  for (auto spells = random.below(4); spells > 0; --spells) {
    constexpr weather kinds[] = {weather::refusing, weather::refusing, weather::failing,
                                 weather::down,     weather::stalling, weather::cutting,
                                 weather::webpage,  weather::unpaid};
    const time_point from = start + random.span(0s, 300s);
    relay.spells.push_back(
        {kinds[random.below(std::size(kinds))], from, from + random.span(1s, 200s)});
  }
}

process_plan plan_process(dice& random) {
  process_plan planned;
  const auto fate = random.below(10);
  if (fate < 3) {
    planned.disk.crash_at = static_cast<std::uint64_t>(random.between(1, 120));
  } else if (fate < 6) {
    planned.killed_after = random.percent(50) ? random.span(0s, 5s) : random.span(0s, 200s);
  } else if (fate < 8) {
    planned.stopped_after = random.percent(50) ? random.span(0s, 5s) : random.span(0s, 200s);
    planned.grace = random.percent(30) ? duration{} : random.span(0s, 30s);
  }
  if (random.percent(12)) {
    planned.disk.full_from = static_cast<std::uint64_t>(random.between(1, 100));
    planned.disk.full_for = static_cast<std::uint64_t>(random.between(1, 30));
  }
  if (random.percent(6)) {
    planned.disk.no_sync_at = static_cast<std::uint64_t>(random.between(1, 100));
  }
  if (random.percent(6)) {
    planned.disk.no_handle_at = static_cast<std::uint64_t>(random.between(1, 60));
  }
  planned.power_cut = random.percent(50);
  if (random.percent(20)) {
    planned.wall_step_after = random.span(0s, 60s);
    planned.wall_step = static_cast<double>(random.between(-100'000, 100'000));
  }
  planned.until_next = random.span(0s, 90s);
  return planned;
}

// Replaces the single relay with several relays or several keys.
void make_pool(scenario& made, dice random) {
  const std::size_t members = random.percent(70) ? 2 : 3;
  made.relay.windows.clear();
  made.caps.clear();
  for (std::size_t i = 0; i < members; ++i) {
    relay_member member;
    member.name = fmt::format("m{}", i);
    member.relay = made.options.relay;
    member.weight = static_cast<unsigned>(random.between(1, 3));
    unsigned cap = made.options.pace.requests_per_minute;
    if (random.percent(40)) {
      member.requests_per_minute = cap = static_cast<unsigned>(random.between(2, 30));
    }
    const bool twin = i > 0 && random.percent(20);  // the same key as the first entry
    member.relay.base_url = fmt::format("https://m{}.example/v1", twin ? 0 : i);
    if (twin) {
      made.relay.windows.push_back(0);
      if (cap != 0) made.caps[0] = made.caps[0] == 0 ? cap : std::min(made.caps[0], cap);
    } else {
      made.relay.windows.push_back(made.caps.size());
      made.caps.push_back(cap);
    }
    made.options.pool.push_back(std::move(member));
  }
  for (auto& spell : made.relay.spells) {
    if (random.percent(60)) spell.member = random.below(members);
  }
  if (random.percent(40)) {
    const time_point from = test::manual_clock().now() + random.span(0s, 100s);
    const weather end = random.percent(60) ? weather::down : weather::unpaid;
    made.relay.spells.push_back({end, from, time_point::max(), random.below(members)});
  }
}

// Adds flags, edits of jobs, and other users of the window to the plan of a process.
void plan_more(scenario& made, process_plan& planned, dice random, bool edits) {
  planned.retry_failed = random.percent(20);
  if (edits && random.percent(50)) {
    planned.edited = static_cast<unsigned>(random.between(1, 3));
  }
  planned.fresh = random.percent(15);
  if (!made.shares_window) return;
  planned.neighbour = random.percent(40);
  if (random.percent(40)) {
    constexpr window_loss losses[] = {window_loss::folder_moved, window_loss::file_moved,
                                      window_loss::cut};
    planned.loss = losses[random.below(std::size(losses))];
    planned.lost_after = random.percent(50) ? random.span(2s, 10s) : random.span(2s, 120s);
  }
}

// A request with a price that depends on many members of its body.
std::string dear_line(dice& random, const std::string& id) {
  constexpr std::string_view tiers[] = {"",
                                        "",
                                        R"("service_tier":"auto",)",
                                        R"("service_tier":"default",)",
                                        R"("service_tier":"flex",)",
                                        R"("service_tier":"priority",)",
                                        R"("service_tier":"ultrafast",)",
                                        R"("service_tier":"flex","service_tier":"priority",)",
                                        R"("service_tier":"ultrafast","Service_Tier":"flex",)"};
  std::string members =
      fmt::format(R"("model":"m",{}"user":"{}","seed":0,"max_tokens":{},)",
                  tiers[random.below(std::size(tiers))], id, random.between(1, 40));
  if (random.percent(20)) members += fmt::format(R"("max_tokens":{},)", random.between(1, 40));
  const std::string text(random.below(150), 'x');
  if (random.percent(25)) {
    if (random.percent(50)) members += fmt::format(R"("best_of":{},)", random.between(1, 3));
    return fmt::format(
        R"({{"custom_id":"{}","method":"POST","url":"/v1/completions","body":{{{}"prompt":"{}"}}}})"
        "\n",
        id, members, text);
  }
  if (random.percent(40)) members += fmt::format(R"("n":{},)", random.between(1, 3));
  return fmt::format(R"({{"custom_id":"{}",{}"messages":[{{"role":"user","content":"{}"}}]}})"
                     "\n",
                     id, members, text);
}

void write_dear_job(scenario& made, dice random, bool alike) {
  const std::int64_t lines = alike ? 400 : random.between(1, 25);
  made.bad_lines.emplace_back();
  std::string text;
  for (std::int64_t line = 1; line <= lines; ++line) {
    const std::string id = fmt::format("0-{}", line);
    made.requests.insert(id);
    text +=
        alike
            ? fmt::format(
                  R"({{"custom_id":"{0}","model":"m","user":"{0}","seed":0,"max_tokens":40,"messages":[{{"role":"user","content":"{1:x<60}"}}]}})"
                  "\n",
                  id, "")
            : dear_line(random, id);
  }
  made.jobs.push_back(std::move(text));
}

}  // namespace

scenario::scenario(std::uint64_t seed, theme about) : relay() {
  dice random(seed);
  chance = random.roll();
  constexpr std::string_view table =
      R"({"m":{"input":"3.00","cached_input":"0.75","output":"7.10"}})";
  prices.merge(table, "the test");

  const bool one_tariff = about == theme::any || about == theme::shapes;
  const bool with_budget = !one_tariff || random.percent(about == theme::shapes ? 60 : 40);
  if (one_tariff) {
    write_jobs(*this, random.fork(), with_budget);
  } else {
    relay.bills.emplace(random.fork());
    prices.merge(relay.bills->price_list(), "the test");
    write_dear_job(*this, random.fork(), about == theme::like_requests);
  }
  if (about != theme::like_requests) choose_weather(*this, random.fork());

  options.pace.seed = random.roll() | 1U;
  options.pace.requests_per_minute =
      random.percent(10) ? 0
                         : static_cast<unsigned>(random.between(2, random.percent(50) ? 8 : 60));
  options.pace.concurrency = static_cast<unsigned>(random.between(1, 8));
  options.pace.max_attempts = static_cast<unsigned>(random.between(1, 5));
  options.pace.pace = random.percent(20) ? pacing::even : pacing::burst;
  options.pace.give_up_after = random.span(60s, 600s);
  options.relay.first_byte_timeout = random.span(5s, 60s);
  options.relay.total_timeout = random.span(60s, 300s);
  options.job.stream = random.percent(60);
  options.output.directory = "/out";
  constexpr durability durable[] = {durability::each, durability::second, durability::second,
                                    durability::none};
  options.output.durable = durable[random.below(std::size(durable))];

  // The highest reservation for a body of this size.
  const bool varied = about == theme::dear_bills;  // prompts, choices and tiers
  std::int64_t longest_body = varied ? 400 : 300;
  if (about == theme::shapes) {
    constexpr std::int64_t longest_turn = 110;
    options.job.expect = std::make_shared<shape_check>();
    options.job.max_rejections = static_cast<unsigned>(random.between(0, 3));
    options.job.tell_why = random.percent(50);
    relay.malformed_percent = static_cast<unsigned>(random.between(10, 60));
    if (options.job.tell_why) longest_body += 3 * longest_turn;
  }
  const std::int64_t most_tokens = varied ? 3 * 40 : 40;
  const auto rates =
      prices.find("m", endpoint::chat_completions)
          ->dearest(longest_body, endpoint::chat_completions, varied ? "ultrafast" : "auto");
  dearest_attempt = rates->prompt * longest_body + rates->completion * most_tokens;
  if (with_budget) {
    const auto wanted = static_cast<std::int64_t>(requests.size());
    options.output.budget = dearest_attempt * random.between(1, wanted * 3);
    options.output.scope = random.percent(80) ? budget_scope::job : budget_scope::run;
  }
  if (about == theme::like_requests) {
    // The budget allows fewer requests at the same time. The queue holds all requests.
    options.pace.concurrency = 64;
    options.output.budget = dearest_attempt * 50;
    options.output.scope = budget_scope::job;
    caps = {options.pace.requests_per_minute};
    return;
  }
  for (auto count = random.below(4); count > 0; --count) {
    processes.push_back(plan_process(random));
    // Prices that depend on the hour need a correct wall clock.
    if (about == theme::dear_bills) processes.back().wall_step_after.reset();
    if (about == theme::shapes) {
      const auto crash_at = processes.back().disk.crash_at;
      processes.back().disk = {};
      processes.back().disk.crash_at = crash_at;
      processes.back().power_cut = false;
    }
  }
  caps = {options.pace.requests_per_minute};
  if (about == theme::shapes) {
    if (random.percent(30)) make_pool(*this, random.fork());
    for (auto& planned : processes) planned.retry_failed = random.percent(20);
    last.retry_failed = random.percent(20);
    return;
  }
  if (random.percent(40)) return;

  shares_window = random.percent(70);
  if (random.percent(35)) make_pool(*this, random.fork());
  first_on_stdin = random.percent(20);
  const bool edits = !first_on_stdin && random.percent(30);
  changed = random.percent(60) ? on_change::redo : on_change::keep;
  for (auto& planned : processes) plan_more(*this, planned, random.fork(), edits);
  plan_more(*this, last, random.fork(), edits);
}

}  // namespace sluice::simulation
