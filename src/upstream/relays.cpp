#include "upstream/relays.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "upstream/hint_spread.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/shared_window.hpp"

namespace sluice::upstream {
namespace {

constexpr unsigned pool_failures_before_trial = 10;

// A longer wait is not shown as a date, because it is probably a mistake or a ban.
constexpr std::chrono::hours longest_believed_wait{24};

double seconds(duration time) {
  return std::chrono::duration<double>(time).count();
}

unsigned limit_of(const relay_member& member, const pace_options& pace) {
  return member.requests_per_minute.value_or(pace.requests_per_minute);
}

relay_health::options patience_with(const relay_member& member, std::size_t relays,
                                    const pace_options& pace) {
  relay_health::options patience{.give_up_after = pace.give_up_after,
                                 .max_wait = pace.max_wait,
                                 .backoff_base = pace.backoff_base,
                                 .backoff_cap = pace.backoff_cap,
                                 .requests_per_minute = limit_of(member, pace)};
  // If other relays can do the work, fewer failures are enough.
  if (relays > 1) patience.failures_before_trial = pool_failures_before_trial;
  return patience;
}

// The lanes of the relays and their windows. Relays with the same origin and key share a window,
// with the lower of their limits.
struct gate_plan {
  gate_plan(const std::vector<relay_member>& members, const pace_options& pace) {
    std::map<std::string, std::size_t> known;
    for (const auto& member : members) {
      const unsigned rpm = limit_of(member, pace);
      const auto [place, fresh] = known.try_emplace(window_name(member.relay), windows.size());
      longest_connect = std::max(longest_connect, member.relay.connect_timeout);
      lanes.push_back({place->second, member.weight});
      if (fresh) {
        windows.push_back({rpm, pace.window_margin, pace.pace, pace.tokens_per_minute, nullptr});
        names.push_back(place->first);
      } else if (auto& shared = windows[place->second].per_minute; rpm != 0) {
        shared = shared == 0 ? rpm : std::min(shared, rpm);
      }
    }
  }

  std::vector<rate_limiter::options> windows;
  std::vector<std::string> names;  // of the windows
  duration longest_connect{};
  std::vector<start_gate::lane_options> lanes;
};

}  // namespace

std::size_t most_in_flight(const pace_options& pace) {
  if (pace.concurrency != 0) return pace.concurrency;
  constexpr std::size_t sensible = 4096;
  const std::size_t others = relays::other_files + pace.files_of_jobs;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= others) return 1;
  return std::min<std::size_t>(files.rlim_cur - others, sensible);
}

relays::relays(boost::asio::io_context& context, clock& time,
               const std::vector<relay_member>& members, const pace_options& pace,
               const std::vector<http_client*>& clients, observer* listener)
    : time_(time), pace_(pace), observer_(listener), random_(pace.seed) {
  gate_plan plan(members, pace_);
  for (const auto& lane : plan.lanes) windows_.push_back(lane.window);
  window_opener opener(pace_, listener);
  for (std::size_t i = 0; i < plan.windows.size(); ++i) {
    limits_.push_back(plan.windows[i].per_minute);
    stores_.push_back(opener.open(plan.names[i]));
    plan.windows[i].store = stores_.back().get();
    if (pace_.machines != nullptr) {
      plan.windows[i].shared =
          &pace_.machines->open(plan.names[i], plan.windows[i].per_minute, pace_.tokens_per_minute,
                                pace_.window_margin, plan.longest_connect + pace_.window_margin);
    }
  }
  gate_ = std::make_unique<start_gate>(time, plan.windows, plan.lanes, most_in_flight(pace_));
  gate_->set_reserve(pace_.interactive_reserve);
  gate_->close();  // each run enters with its own group
  // The other process has added its spread to the hint.
  const duration longest = pace_.max_wait + most_hint_spread(pace_.max_wait);
  gate_->watch_pauses(
      longest, [this](std::size_t relay, time_point until) { paused_by_others(relay, until); });
  std::vector<const relay_options*> all;
  all.reserve(members.size());
  for (const auto& member : members) all.push_back(&member.relay);
  const auto memory = make_reply_memory(all);
  const auto lookups = std::make_shared<lookup_threads>();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (clients.empty()) {
      own_clients_.push_back(make_http_client(context, time, members[i].relay,
                                              name_lookup::system_resolver, memory, lookups));
    }
    http_client& client = clients.empty() ? *own_clients_.back() : *clients[i];
    relays_.emplace_back(members[i], client, patience_with(members[i], members.size(), pace_),
                         pace_.concurrency);
    gate_->limit_in_flight(relays_.back().latency_cap.now(), i);
  }
}

relays::~relays() {
  cancel_returns();
}

void relays::cancel_returns() noexcept {
  for (const auto& [relay, timer] : returns_) time_.cancel(timer);
  returns_.clear();
}

void relays::join(user& run) {
  const bool alone =
      std::none_of(users_.begin(), users_.end(), [](const user* one) { return one->at_work(); });
  start_new_run(alone || ended_);
  users_.push_back(&run);
}

void relays::try_again() {
  if (ended_) start_new_run(true);
}

void relays::leave(user& run) noexcept {
  std::erase(users_, &run);
  if (users_.empty()) {
    cancel_returns();
    abort();  // closes idle connections, and those that still read the end of a reply
  }
  for (user* each : users_) each->on_others_settled();
}

void relays::stopped() noexcept {
  if (is_idle()) cancel_returns();
}

// `forget`: earlier problems are forgotten, since no other run is active or no relay is left.
void relays::start_new_run(bool forget) {
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    auto& one = relays_[i];
    const bool all_ended = ended_;
    const duration wait = one.back_at.value_or(time_.now()) - time_.now();
    if (one.resting && !all_ended && wait > duration{} && wait <= longest_believed_wait) {
      if (!returns_.contains(i)) {
        returns_[i] = time_.call_at(*one.back_at, [this, i] { bring_back(i); });
      }
    } else if (one.resting || forget) {
      one.reported.in_trouble = false;  // so that no "serves again" is reported
      bring_back(i);
    }
    if (!forget) continue;
    one.health.reset_for_new_run();
    one.streams.reset_for_new_run();
  }
  ended_ = false;
}

// No run sends anything new.
bool relays::is_idle() const noexcept {
  return std::all_of(users_.begin(), users_.end(), [](const user* one) { return one->stopping(); });
}

unsigned relays::requests_per_minute() const noexcept {
  unsigned sum = 0;
  for (const unsigned limit : limits_) {
    if (limit == 0) return 0;
    sum += limit;
  }
  return sum;
}

void relays::fall_back_to(const std::shared_ptr<private_windows>& threads) {
  for (const auto& store : stores_) {
    if (store) store->fall_back_to(threads);
  }
}

live_limits relays::limits() const {
  live_limits now{.requests_per_minute = {},
                  .tokens_per_minute = pace_.tokens_per_minute,
                  .concurrency = pace_.concurrency};
  for (const relay& one : relays_) now.requests_per_minute.push_back(one.requests_per_minute);
  return now;
}

void relays::set_limits(const live_limits& fresh) {
  pace_.tokens_per_minute = fresh.tokens_per_minute;
  pace_.concurrency = fresh.concurrency;
  limits_.assign(limits_.size(), 0);
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    const unsigned rpm = fresh.requests_per_minute.at(i);
    auto& one = relays_[i];
    one.requests_per_minute = rpm;
    one.health.set_limit(rpm);
    one.latency_cap.set_most(fresh.concurrency);
    auto& shared = limits_[windows_[i]];
    if (rpm != 0) shared = shared == 0 ? rpm : std::min(shared, rpm);
  }
  for (std::size_t i = 0; i < limits_.size(); ++i) {
    gate_->set_limits(i, limits_[i], pace_.tokens_per_minute);
  }
  gate_->set_concurrency(most_in_flight(pace_));
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    follow_health(i);
    apply_caps(i, time_.now());
  }
}

std::string relays::title(std::size_t relay) const {
  const std::string& name = relays_[relay].options.name;
  return name.empty() ? "the relay" : "relay " + name;
}

std::string relays::prefix(std::size_t relay) const {
  const std::string& name = relays_[relay].options.name;
  return name.empty() ? "" : fmt::format("relay {}: ", name);
}

void relays::tell(severity level, const std::string& sentence) const {
  if (observer_ != nullptr && observer_->wants(level)) observer_->on_notice({level, {}, sentence});
}

std::size_t relays::at_work() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(relays_.begin(), relays_.end(), [](const auto& one) { return !one.resting; }));
}

bool relays::has_others(std::size_t relay) const noexcept {
  return at_work() > (relays_[relay].resting ? 0 : 1);
}

bool relays::in_trouble() const noexcept {
  return std::all_of(relays_.begin(), relays_.end(),
                     [](const auto& one) { return one.resting || one.health.trial(); });
}

void relays::abort() {
  for (auto& one : relays_) one.client.abort();
}

void relays::answered(const start_gate::permit& turn, time_point started, bool streamed) {
  auto& one = relays_[turn.lane];
  const time_point now = time_.now();
  one.health.answered(started, now, turn.held);
  one.refusal_cap.served(turn.beside, turn.spread, now);
  follow_health(turn.lane);
  const auto& limits = one.options.relay;
  const std::size_t in_flight = gate_->in_flight(turn.lane);
  one.latency_cap.answered(
      started, now, streamed ? limits.first_byte_timeout : limits.total_timeout, turn.beside + 1);
  follow_in_flight(turn.lane, in_flight, started, now);
}

void relays::succeeded(std::size_t relay, time_point started) {
  auto& one = relays_[relay];
  ++successes_;
  for (user* each : users_) each->on_success(relay, started);
  one.health.succeeded(started);
  follow_health(relay);
}

// Applies the relay's health to the gate.
void relays::follow_health(std::size_t relay) {
  auto& one = relays_[relay];
  gate_->space(one.health.rate().gap(), relay);
  gate_->one_at_a_time(one.health.trial(), relay);
  if (one.reported.in_trouble && !one.health.trial()) {
    one.reported.in_trouble = false;
    tell(severity::info, fmt::format("{} serves again", title(relay)));
  }
  follow_rate(relay);
}

void relays::follow_rate(std::size_t relay) {
  auto& one = relays_[relay];
  const adaptive_rate& rate = one.health.rate();
  const unsigned limit = one.requests_per_minute;
  if (!one.reported.slower && rate.limits() && rate.settled(time_.now())) {
    one.reported.slower = true;
    tell(severity::warning,
         fmt::format(
             "{} serves about {:.0f} requests a minute{}; requests are now sent at that rate",
             title(relay), rate.per_minute(), limit == 0 ? "" : fmt::format(", not {}", limit)));
  } else if (one.reported.slower && !rate.limits()) {
    one.reported.slower = false;
    tell(severity::info,
         fmt::format("{} serves {} again", title(relay),
                     limit == 0 ? "every request" : fmt::format("{} requests a minute", limit)));
  }
}

relays::in_flight_caps relays::apply_caps(std::size_t relay, time_point now) {
  auto& one = relays_[relay];
  const in_flight_caps caps{one.refusal_cap.most(now), one.latency_cap.now()};
  gate_->limit_in_flight(
      caps.by_refusals == 0 ? caps.by_latency : std::min(caps.by_refusals, caps.by_latency), relay);
  return caps;
}

void relays::follow_in_flight(std::size_t relay, std::size_t in_flight, time_point started,
                              time_point now) {
  auto& one = relays_[relay];
  const auto [by_refusals, by_latency] = apply_caps(relay, now);
  if (by_refusals != 0 && !std::exchange(one.reported.full, true)) {
    tell(severity::warning, fmt::format("{} accepts about {} requests at once and refuses more; "
                                        "at most that number is now in flight",
                                        title(relay), by_refusals));
  }
  if (std::exchange(one.reported.late, one.latency_cap.lowered()) == one.latency_cap.lowered())
    return;
  if (one.reported.late) {
    tell(severity::warning,
         fmt::format(
             "{}answers take {:.0f} s with {} requests in flight; at most {} are now in flight",
             prefix(relay), seconds(now - started), in_flight, by_latency));
  } else {
    tell(severity::info, fmt::format("{} answers fast enough again", title(relay)));
  }
}

relay_health::verdict relays::failed(const start_gate::permit& turn, std::string_view model,
                                     bool several, const failure& failed, time_point started,
                                     unsigned refused_before) {
  failure why = failed;
  why.message = described(failed, model);
  const std::size_t relay = turn.lane;
  auto& one = relays_[relay];
  const bool full = relay_health::is_refusal(why) &&
                    one.refusal_cap.refused(turn.beside, turn.spread, time_.now());
  if (const auto until = gate_->others_last_pause(relay)) one.health.paused_by_others(*until);
  auto verdict = one.health.failed(why, started, time_.now(), refused_before, full,
                                   several || users_.size() > 1 ? model : std::string_view{});
  if (verdict.pause_until) {
    // All clients get the same hint. They should not come back at the same moment.
    if (why.retry_after)
      *verdict.pause_until += hint_spread(*verdict.pause_until - time_.now(), random_);
    if (*verdict.pause_until >= one.pause.until) {
      one.pause = {.until = *verdict.pause_until,
                   .http_status = why.http_status,
                   .asked = std::chrono::duration_cast<duration>(
                       why.retry_after.value_or(decltype(why.retry_after)::value_type{}))};
    }
    // No answer came, so the failure says nothing about the key. Another process may reach the
    // relay.
    if (why.kind == failure_class::unreachable || why.kind == failure_class::bad_certificate ||
        why.kind == failure_class::bad_proxy) {
      gate_->rest(*verdict.pause_until, relay);
    } else {
      gate_->pause(*verdict.pause_until, relay);
    }
  }
  follow_health(relay);
  const std::size_t in_flight = gate_->in_flight(relay) + 1;
  if (why.code == errc::request_timeout) {
    one.latency_cap.timed_out(started, time_.now(), turn.beside + 1);
  }
  follow_in_flight(relay, in_flight, started, time_.now());
  if (one.health.address_confirmed()) {
    for (user* each : users_) each->on_address_settled();
  }
  if (!is_idle() && one.health.trial() && !std::exchange(one.reported.in_trouble, true)) {
    const auto pause = verdict.pause_until.value_or(time_.now()) - time_.now();
    tell(severity::warning,
         fmt::format("{}{}; trying again in {:.1f} s, one request at a time until one succeeds",
                     prefix(relay), why.message, std::max(0.0, seconds(pause))));
  }
  if (verdict.stop != stop_reason::none) end(relay, verdict);
  return verdict;
}

void relays::end(std::size_t relay, const relay_health::verdict& verdict) {
  auto& ended = relays_[relay];
  if (ended.resting || is_idle()) return;
  if (verdict.wait) ended.back_at = time_.now() + *verdict.wait;
  ended.rest_reason = verdict.reason;
  if (!has_others(relay)) return end_all(relay, verdict);
  ended.resting = true;
  ended.client.stop_sending();
  gate_->set_open(relay, false);
  for (user* each : users_) each->on_rest(relay);
  tell(severity::warning,
       fmt::format(
           "{}{}; it gets no requests{}, {} other relay(s) continue", prefix(relay), verdict.reason,
           verdict.wait ? fmt::format(" for {:.0f} s", seconds(*verdict.wait)) : "", at_work()));
  if (ended.back_at && *verdict.wait <= longest_believed_wait) {
    returns_[relay] = time_.call_at(*ended.back_at, [this, relay] { bring_back(relay); });
  }
}

// A run with a longer --max-wait began the pause and waits for its end. The wait is too long for
// this run.
void relays::paused_by_others(std::size_t relay, time_point until) {
  if (relays_[relay].resting) return;
  relay_health::verdict ended;
  ended.stop = stop_reason::come_back_later;
  ended.reason = "the relay asked another run to wait";
  ended.wait = until - time_.now();
  end(relay, ended);
}

// If relays asked to wait, the run can be started again when the first of them is back.
void relays::end_all(std::size_t last, const relay_health::verdict& verdict) {
  cancel_returns();
  ended_ = true;
  const auto first_back =
      std::min_element(relays_.begin(), relays_.end(), [](const relay& a, const relay& b) {
        return a.back_at.value_or(time_point::max()) < b.back_at.value_or(time_point::max());
      });
  stop_reason reason = verdict.stop;
  std::string message = verdict.reason;
  std::optional<double> again_at;
  if (first_back->back_at) {
    reason = stop_reason::come_back_later;
    message = first_back->rest_reason;
    if (const duration wait = *first_back->back_at - time_.now(); wait <= longest_believed_wait) {
      again_at = time_.unix_now() + seconds(wait);
    }
  }
  for (user* each : std::vector<user*>(users_)) each->on_relays_ended(reason, message, again_at);
  if (const auto in_flight = gate_->now().in_flight; in_flight > 0) {
    tell(severity::warning,
         fmt::format("{}{}; no new requests are sent, {} in flight may still finish", prefix(last),
                     verdict.reason, in_flight));
  }
}

void relays::bring_back(std::size_t relay) {
  auto& one = relays_[relay];
  returns_.erase(relay);
  one.back_at.reset();
  one.resting = false;
  one.health.rested();
  follow_health(relay);
  one.client.allow_sending();
  gate_->set_open(relay, true);
}

void relays::only_suspects_left(std::size_t relay) {
  const bool all = std::all_of(users_.begin(), users_.end(), [](const user* one) {
    return one->stopping() || one->waits_for_address();
  });
  if (!all) return;  // other requests will show whether it is wrong
  const relay_health& health = relays_[relay].health;
  if (health.suspects_agree()) end(relay, health.only_suspects_left());
  // For the runs that continue: their requests use other relays, or each request fails on its own.
  for (user* each : users_) each->on_address_settled();
}

void relays::stream_trial_over() {
  settled();
}

void relays::settled() {
  for (user* each : users_) each->on_others_settled();
}

bool relays::stream_trial_on() const noexcept {
  return std::any_of(relays_.begin(), relays_.end(),
                     [](const relay& one) { return one.streams.on_trial(); });
}

void relays::streams_are_off(std::size_t relay) {
  tell(severity::warning,
       fmt::format("{} does not answer streamed requests; the run continues without streams, as "
                   "with --no-stream",
                   title(relay)));
  for (user* each : users_) each->on_streams_off(relay);
}

void relays::advise_streams(std::size_t relay, duration after) {
  tell(
      severity::warning,
      fmt::format("{}requests without a stream are cut off after {:.0f} s of silence; use streams: "
                  "remove --no-stream and \"stream\": false, or add --stream",
                  prefix(relay), seconds(after)));
}

}  // namespace sluice::upstream
