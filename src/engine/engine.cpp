#include "sluice/engine.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "async/steady_clock.hpp"
#include "engine/run_context.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/relay_window.hpp"

namespace sluice {
namespace {

config with_seed(config options) {
  if (options.pace.seed == 0) options.pace.seed = std::random_device{}();
  return options;
}

// Feeds the queue from a thread of its own: reading and checking lines must not hold up the event
// loop.
class reader_thread {
 public:
  reader_thread(run_context& fed, boost::asio::any_io_executor loop)
      : run_(fed), loop_(std::move(loop)), thread_([this] { read(); }) {}
  reader_thread(const reader_thread&) = delete;
  reader_thread& operator=(const reader_thread&) = delete;
  ~reader_thread() {
    run_.source.cancel();
    run_.queue.close();
  }

 private:
  void read() {
    try {
      while (auto next = run_.source.next()) {
        if (!run_.queue.push(std::move(*next))) break;
      }
    } catch (...) {
      // The run waits for what is posted, this thread's object does not.
      boost::asio::post(loop_,
                        [&run = run_, fault = std::current_exception()] { run.fail(fault); });
    }
    run_.queue.finish();
  }

  run_context& run_;
  boost::asio::any_io_executor loop_;
  std::jthread thread_;
};

// Makes a run the one that stop() and now() speak of, while in scope.
class current_run {
 public:
  current_run(run_context*& place, run_context& run) : place_(place) { place_ = &run; }
  current_run(const current_run&) = delete;
  current_run& operator=(const current_run&) = delete;
  ~current_run() { place_ = nullptr; }

 private:
  run_context*& place_;
};

// Every attempt in flight holds a connection, and the jobs and their results need files, too.
void check_open_files(const pace_options& pace) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return;
  const std::size_t needed =
      std::max(pace.concurrency, 1U) + run_context::other_files + pace.files_of_jobs;
  if (needed <= files.rlim_cur) return;
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--concurrency {} and the jobs' files need {} open files, and {} are allowed; "
                  "lower it, run fewer jobs at once, or allow more with ulimit -n",
                  pace.concurrency, needed, files.rlim_cur));
}

// The relays' lanes, and the windows that they count in: those of one origin and key share theirs,
// and keep the lower of two limits.
struct gate_plan {
  explicit gate_plan(const config& options) {
    std::map<std::string, std::size_t> known;
    for (const auto& member : options.relays()) {
      const unsigned rpm = member.requests_per_minute.value_or(options.pace.requests_per_minute);
      const auto [place, fresh] = known.try_emplace(window_name(member.relay), windows.size());
      lanes.push_back({place->second, member.weight});
      if (fresh) {
        windows.push_back({rpm, options.pace.window_margin, options.pace.pace,
                           options.pace.tokens_per_minute, nullptr});
        names.push_back(place->first);
      } else if (auto& shared = windows[place->second].per_minute; rpm != 0) {
        shared = shared == 0 ? rpm : std::min(shared, rpm);
      }
    }
  }

  // Has the windows live where other processes find them.
  std::vector<std::unique_ptr<limit_store>> share(const pace_options& pace) {
    std::vector<std::unique_ptr<limit_store>> stores;
    window_opener opener(pace);
    for (std::size_t i = 0; i < windows.size(); ++i) {
      stores.push_back(opener.open(names[i]));
      windows[i].store = stores.back().get();
    }
    return stores;
  }

  std::vector<rate_limiter::options> windows;
  std::vector<std::string> names;  // of their files
  std::vector<start_gate::lane_options> lanes;
};

}  // namespace

struct engine::parts {
  parts(boost::asio::io_context& context, const config& chosen)
      : parts(context, chosen, std::make_unique<steady_clock>(context), nullptr, {}) {}
  parts(boost::asio::io_context& context, const config& chosen, std::unique_ptr<clock> own_clock,
        clock* given_clock, std::vector<http_client*> given_clients)
      : loop(context),
        options(with_seed(chosen)),
        relays(options.relays()),
        owned_clock(std::move(own_clock)),
        time(given_clock != nullptr ? *given_clock : *owned_clock),
        clients(std::move(given_clients)),
        plan(options),
        stores(plan.share(options.pace)),
        gate(time, plan.windows, plan.lanes, options.pace.concurrency) {
    if (!clients.empty()) return;
    std::vector<const relay_options*> all;
    for (const auto& member : relays) all.push_back(&member.relay);
    const auto memory = make_reply_memory(all);
    for (const auto& member : relays) {
      owned_clients.push_back(
          make_http_client(context, time, member.relay, name_lookup::system_resolver, memory));
      clients.push_back(owned_clients.back().get());
    }
  }

  boost::asio::io_context& loop;
  const config options;
  const std::vector<relay_member> relays;
  std::unique_ptr<clock> owned_clock;
  clock& time;
  std::vector<std::unique_ptr<http_client>> owned_clients;
  std::vector<http_client*> clients;
  gate_plan plan;
  std::vector<std::unique_ptr<limit_store>> stores;
  start_gate gate;
  run_context* current = nullptr;
};

engine::engine(boost::asio::io_context& loop, const config& options) {
  options.check();
  check_open_files(options.pace);
  parts_ = std::make_unique<parts>(loop, options);
}

engine::engine(boost::asio::io_context& loop, const config& options, clock& time,
               std::vector<http_client*> clients) {
  options.check();
  parts_ = std::make_unique<parts>(loop, options, nullptr, &time, std::move(clients));
}

engine::~engine() = default;

boost::asio::awaitable<run_outcome> engine::run(request_source& source, result_sink& sink) {
  const auto loop = co_await boost::asio::this_coro::executor;
  run_context shared(loop, parts_->options, parts_->time, parts_->relays, parts_->clients,
                     parts_->gate, source, sink);
  const current_run here(parts_->current, shared);
  parts_->gate.open();
  {
    const reader_thread reader(shared, loop);
    shared.start_workers();
    co_await shared.all_done.wait();
  }
  co_await shared.disk_is_idle();
  // The reader and the last result may have left something in the event loop.
  co_await boost::asio::post(loop, boost::asio::use_awaitable);
  parts_->gate.close();
  shared.abort_relays();  // idle connections and what still drains
  if (shared.fault) std::rethrow_exception(shared.fault);
  sink.flush();
  co_return shared.stopping() ? shared.outcome : shared.deferred_outcome;
}

void engine::stop() {
  if (parts_->current != nullptr) parts_->current->stop(stop_reason::interrupted, {});
}

void engine::abort() {
  stop();
  for (http_client* client : parts_->clients) client->abort();
}

run_status engine::now() const {
  const auto gate = parts_->gate.now();
  run_status told;
  told.in_flight = gate.in_flight;
  told.waiting = gate.waiting;
  told.queued = parts_->current != nullptr ? parts_->current->queue.waiting() : 0;
  told.started_last_minute = gate.started_last_minute;
  told.most_in_a_minute = gate.most_in_a_minute;
  told.next_start = gate.next_start;
  told.full = gate.full && (gate.waiting > 0 || told.queued > 0);
  told.slowed = std::exchange(told.full, told.full && !gate.lanes_full) && gate.lanes_full;
  told.one_at_a_time = parts_->current != nullptr && parts_->current->in_trouble();
  told.faulted = parts_->current != nullptr && parts_->current->fault != nullptr;
  return told;
}

unsigned engine::requests_per_minute() const noexcept {
  unsigned sum = 0;
  for (const auto& window : parts_->plan.windows) {
    if (window.per_minute == 0) return 0;
    sum += window.per_minute;
  }
  return sum;
}

clock& engine::time() noexcept {
  return parts_->time;
}

}  // namespace sluice
