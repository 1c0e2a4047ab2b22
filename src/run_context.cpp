#include "run_context.hpp"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "worker.hpp"

namespace sluice {
namespace {

// Workers beyond the concurrency, for requests that wait out a backoff; each holds one request.
constexpr std::size_t most_resting = 4096;

// Without a limit of our own, the number of files that may be open is one.
std::size_t worker_count(unsigned concurrency) {
  if (concurrency != 0) return concurrency;
  constexpr std::size_t sensible = 4096;
  constexpr std::size_t others = run_context::other_files;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= 2 * others) return others;
  return std::min<std::size_t>(files.rlim_cur - others, sensible);
}

// Deep enough that the reader is woken once for many requests, small enough to stay flat.
std::size_t queue_capacity(std::size_t workers) {
  return std::clamp<std::size_t>(workers * 8, 64, 1024);
}

}  // namespace

run_context::run_context(boost::asio::any_io_executor loop, const config& chosen, clock& clock_used,
                         http_client& relay_used, start_gate& gate_used, request_source& requests,
                         result_sink& results)
    : options(chosen),
      time(clock_used),
      relay(relay_used),
      gate(gate_used),
      source(requests),
      sink(results),
      queue(loop, queue_capacity(worker_count(chosen.pace.concurrency))),
      backoffs(clock_used),
      retries({chosen.pace.max_attempts, chosen.pace.backoff_base, chosen.pace.backoff_cap,
               chosen.pace.seed}),
      health({chosen.pace.give_up_after, chosen.pace.max_wait, chosen.pace.backoff_base,
              chosen.pace.backoff_cap,
              chosen.pace.requests_per_minute == 0
                  ? duration{}
                  : duration{std::chrono::minutes{1}} / chosen.pace.requests_per_minute}),
      loop_(std::move(loop)),
      wanted_workers_(worker_count(chosen.pace.concurrency)) {}

void run_context::stop(stop_reason reason, std::string message) {
  if (stopping()) return;
  outcome = {reason, std::move(message)};
  source.cancel();
  queue.close();
  gate.close();
  relay.stop_sending();
  backoffs.wake_all();
  suspects_.wake_all();
}

void run_context::fail(std::exception_ptr why) {
  stop(stop_reason::interrupted, {});
  if (!fault) fault = std::move(why);
}

void run_context::give_up(std::exception_ptr why) {
  fail(std::move(why));
  relay.abort();
}

void run_context::put(result&& finished) {
  try {
    sink.put(std::move(finished));
  } catch (...) {
    return give_up(std::current_exception());
  }
  if (std::exchange(flush_posted_, true)) return;
  boost::asio::post(loop_, [this] {
    flush_posted_ = false;
    try {
      sink.flush();
    } catch (...) {
      give_up(std::current_exception());
    }
  });
}

void run_context::answered(time_point started) {
  health.answered(started, time.now());
  follow_health();
}

void run_context::succeeded(time_point started) {
  health.succeeded(started);
  follow_health();
  suspects_.wake_all();
}

// What the relay's state means for the starts.
void run_context::follow_health() {
  gate.space(health.gap());
  gate.one_at_a_time(health.trial());
  if (in_trouble_ && !health.trial()) {
    in_trouble_ = false;
    spdlog::info("the relay serves again");
  }
}

relay_health::verdict run_context::failed(const failure& why, time_point started) {
  auto verdict = health.failed(why, started, time.now());
  if (verdict.pause_until) gate.pause(*verdict.pause_until);
  follow_health();
  if (health.address_confirmed()) suspects_.wake_all();
  if (health.trial() && !std::exchange(in_trouble_, true)) {
    const auto pause = verdict.pause_until.value_or(time.now()) - time.now();
    spdlog::warn("{}; trying again in {:.1f} s, one request at a time until one succeeds",
                 why.message, std::max(0.0, std::chrono::duration<double>(pause).count()));
  }
  if (verdict.stop != stop_reason::none) {
    const bool first = !stopping();
    stop(verdict.stop, verdict.reason);
    if (const auto flying = gate.now().in_flight; first && flying > 0) {
      spdlog::warn("{}; nothing new is sent, {} in flight may finish", why.message, flying);
    }
    if (first && verdict.wait) {
      outcome.again_at = time.unix_now() + std::chrono::duration<double>(*verdict.wait).count();
    }
  }
  return verdict;
}

boost::asio::awaitable<void> run_context::wait_for_address() {
  if (stopping() || health.address_confirmed()) co_return;
  rest();
  boost::asio::post(loop_, [this] { check_suspects(); });
  co_await suspects_.wait();
  resume();
}

void run_context::check_suspects() {
  if (suspects_.size() > 0 && suspects_.size() == requests_in_hand && queue.drained()) {
    const auto verdict = health.only_suspects_left();
    stop(verdict.stop, verdict.reason);
  }
}

void run_context::start_workers() {
  for (auto n = wanted_workers_; n > 0; --n) add_worker();
}

void run_context::rest() {
  ++resting_;
  if (!stopping() && workers_ < wanted_workers_ + std::min(resting_, most_resting)) add_worker();
}

void run_context::resume() {
  --resting_;
}

void run_context::add_worker() {
  ++workers_;
  // Posted, since co_spawn on the loop's own thread begins at once: a worker that finds nothing to
  // do must not end before the rest of the run is there.
  boost::asio::post(loop_, [this] { boost::asio::co_spawn(loop_, work(), boost::asio::detached); });
}

boost::asio::awaitable<void> run_context::work() {
  try {
    request next;
    while (co_await queue.pop(next)) {
      ++requests_in_hand;
      worker one(*this, std::move(next));
      co_await one.serve();
      --requests_in_hand;
      check_suspects();
      if (too_many_workers()) break;
    }
  } catch (...) {
    give_up(std::current_exception());
  }
  check_suspects();
  if (--workers_ == 0) all_done.wake_all();
}

}  // namespace sluice
