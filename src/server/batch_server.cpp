#include "server/batch_server.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "async/background.hpp"
#include "async/wait_queue.hpp"
#include "base/refuse.hpp"
#include "jobs/job_check.hpp"
#include "server/api.hpp"
#include "server/data_folder.hpp"
#include "server/json_answer.hpp"
#include "server/object_id.hpp"
#include "server/server_watch.hpp"
#include "store/locked_file.hpp"
#include "store/postgres_files.hpp"
#include "store/postgres_store.hpp"
#include "store/sqlite_store.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::minutes sweep_interval{1};
constexpr unsigned sweeps_an_hour = 60;
constexpr std::size_t most_swept = 1000;  // files per sweep
// A sweep of a shared store ends after this time. The next one does the rest.
constexpr std::chrono::seconds longest_sweep{10};
constexpr std::chrono::seconds shared_poll{2};

nlohmann::ordered_json or_null(const std::optional<usd>& amount) {
  return amount ? nlohmann::ordered_json(amount->to_string()) : nlohmann::ordered_json();
}

// Estimates the cost and the time of a job, as JSON text; empty if the file cannot be read.
std::string estimate_of(const std::string& path, const job_options& lines,
                        const relay_prices& prices, double unix_now, unsigned requests_per_minute) {
  try {
    const job_check found =
        check_job(path, {.lines = lines, .prices = prices, .unix_now = unix_now});
    const auto minutes = found.minutes_at(requests_per_minute, 0);
    return nlohmann::ordered_json{
        {"requests", found.lines()},
        {"prompt_tokens", found.prompt_tokens()},
        {"cost_usd",
         {{"prompt", or_null(found.prompt_cost())},
          {"likely", or_null(found.likely_cost())},
          {"at_most", or_null(found.most_cost())}}},
        {"minutes_at_limit", minutes ? nlohmann::ordered_json(*minutes) : nullptr}}
        .dump();
  } catch (const fatal_error&) {
    return {};
  }
}

// The objects for a store that several servers share.
struct shared_parts {
  explicit shared_parts(const std::string& url)
      : database({.url = url}), files(store::open_postgres_files(database)) {}

  store::postgres_database database;
  std::unique_ptr<store::shared_files> files;
};

// Calls `open`. If the store throws, the server does not start, and the message says why.
template <typename Open>
auto or_refuse(Open open) {
  try {
    return open();
  } catch (const store::store_error& fault) {
    sluice::refuse(fault.what());
  }
}

std::unique_ptr<store::batch_store> open_store(const data_folder& folder, shared_parts* shared) {
  if (shared != nullptr) return store::open_postgres_store(shared->database);
  return store::open_sqlite_store(folder.store_file());
}

// Returns the name of this server in a shared store. The name is the same after a restart, so the
// server continues its own batches at once. Only this process uses the file.
std::string shared_name(const store::locked_file& kept) {
  std::string name;
  std::getline(std::ifstream(kept.path()), name);
  if (!is_object_id(name, "server_")) {
    name = new_object_id("server_");
    std::ofstream written(kept.path());
    written << name << '\n';
    if (!written.flush()) throw store::store_error(kept.path() + ": cannot be written");
  }
  std::string host(256, '\0');
  if (::gethostname(host.data(), host.size() - 1) != 0) host.clear();
  return fmt::format("{} {}", host.c_str(), name);
}

}  // namespace

struct batch_server::parts {
  parts(const batch_server_needs& needs, batch_server_options options)
      : chosen(std::move(options)),
        loop(needs.loop),
        time(needs.sender.time()),
        listener(needs.listener),
        shared(chosen.store.empty() ? nullptr : or_refuse([&] {
          return std::make_unique<shared_parts>(chosen.store);
        })),
        folder(or_refuse([&] {
          return data_folder(chosen.data, needs.files, shared ? shared->files.get() : nullptr);
        })),
        records(or_refuse([&] { return open_store(folder, shared.get()); })),
        disk(needs.loop, chosen.threads),
        runner(needs.loop, disk, *records, folder, needs.sender, needs.prices, needs.keys,
               runner_settings(), needs.listener),
        figures(time.unix_now(),
                [this, &prices = needs.prices](std::string_view model) {
                  return chosen.models.contains(std::string(model)) ||
                         prices.listed({}, model) != nullptr;
                }),
        sums(disk, *records, time),
        announcer(disk, time, *records, chosen.webhook,
                  webhook_clients(needs.loop, time, chosen.webhook.timeout), needs.listener),
        watch({.time = time,
               .disk = disk,
               .records = *records,
               .sender = needs.sender,
               .runner = runner,
               .connections = [this] { return http.connections(); },
               .figures = figures,
               .log = needs.log}),
        calls({.loop = needs.loop,
               .disk = disk,
               .sender = needs.sender,
               .prices = needs.prices,
               .money = runner.money(),
               .figures = figures,
               .limit_of = [this](const std::string& key) { return runner.limit_of(key); },
               .listener = needs.listener},
              chosen.calls),
        routes({.disk = disk,
                .time = time,
                .records = *records,
                .folder = folder,
                .files = needs.files,
                .runner = runner,
                .calls = calls,
                .keys = needs.keys,
                .names = chosen.names,
                .is_open = chosen.is_open,
                .limits = chosen.files,
                .estimate =
                    [this, &prices = needs.prices,
                     limit = needs.sender.requests_per_minute()](const std::string& path) {
                      return estimate_of(path, chosen.runner.lines, prices, time.unix_now(), limit);
                    },
                .listener = needs.listener,
                .sender = needs.sender,
                .figures = figures,
                .sums = sums,
                .watch = watch}),
        http(
            needs.loop, time, chosen.http,
            [this](http_server::exchange& call) { return answer(call); },
            [this](int status, std::string_view message) {
              return watch.refused(status, refusal_json(status, message));
            }) {
    try {
      folder.sweep(*records, needs.keys.owners());
      records->release_claims(chosen.runner.server_name);
    } catch (const store::store_error& fault) {
      sluice::refuse(fault.what());
    }
    runner.count_in(figures);
    runner.on_announcement = [this] { announcer.wake(); };
    watch_expired_files();
  }
  ~parts() { time.cancel(sweep_timer); }

  asio::awaitable<void> answer(http_server::exchange& asked) {
    const time_point began = time.now();
    watched_call call(asked);
    std::exception_ptr fault;
    try {
      co_await routes.serve(call);
    } catch (...) {
      fault = std::current_exception();
    }
    if (fault && call.status() == 0) {
      const api_error why = internal_fault();
      co_await send_error(call, why);
    }
    watch.answered(call, began);
    if (fault) std::rethrow_exception(fault);
  }

  const runner_options& runner_settings() {
    if (!shared) return chosen.runner;
    name = or_refuse(
        [&] { return std::make_unique<store::locked_file>(chosen.data + "/server-name"); });
    chosen.runner.server_name = or_refuse([&] { return shared_name(*name); });
    chosen.runner.shares_store = true;
    // Other servers create batches too, and answer questions about the batches that run here.
    chosen.runner.poll = std::min(chosen.runner.poll, duration(shared_poll));
    chosen.runner.save_interval = std::min(chosen.runner.save_interval, duration(shared_poll));
    return chosen.runner;
  }

  void watch_expired_files() {
    sweep_timer = time.call_at(time.now() + sweep_interval, [this] {
      sweep_timer = 0;
      asio::co_spawn(loop, remove_expired_files(), asio::detached);
      if (!stopping) watch_expired_files();
    });
  }

  asio::awaitable<void> remove_expired_files() {
    try {
      co_await disk.run([this] {
        // The end of the server waits for this work.
        const auto may_go_on = [this, until = time.now() + longest_sweep] {
          return !stopping && time.now() < until;
        };
        const auto now = static_cast<std::int64_t>(time.unix_now());
        // The records are gone, so each file must be tried, even if one cannot be removed. In a
        // shared store, a later sweep finds the others too.
        std::exception_ptr first;
        for (const auto& file : records->remove_expired_files(now, most_swept)) {
          if (shared && !may_go_on()) break;
          try {
            folder.remove_file(file.id);
          } catch (const store::store_error&) {
            if (!first) first = std::current_exception();
          }
        }
        if (first) std::rethrow_exception(first);
        // Also soon after the start. The start itself does not depend on it.
        if (sweeps++ % sweeps_an_hour == 0) folder.remove_stale_copies(*records, may_go_on);
      });
    } catch (const store::store_error& fault) {
      figures.store_failed();
      if (listener != nullptr) {
        listener->on_notice({.level = severity::warning, .run = {}, .text = fault.what()});
      }
    }
  }

  void stop() {
    stopping = true;
    time.cancel(std::exchange(sweep_timer, 0));
    // The server continues to answer: clients can see their batches, and /readyz says that the
    // server is stopping.
    watch.stop();
    calls.stop();
    announcer.stop();
    runner.stop();
  }

  batch_server_options chosen;
  asio::io_context& loop;
  clock& time;
  observer* listener;
  std::unique_ptr<shared_parts> shared;      // null: no other server shares the store
  std::unique_ptr<store::locked_file> name;  // locks the folder, and stores the server's name
  data_folder folder;
  std::unique_ptr<store::batch_store> records;
  background disk;
  batch_runner runner;
  server_figures figures;
  kept_sums sums;
  batch_announcer announcer;
  server_watch watch;
  pass_through calls;
  api routes;
  http_server::server http;
  clock::timer sweep_timer = 0;
  unsigned sweeps = 0;
  std::atomic<bool> stopping = false;
  bool announced = false;  // the announcer has ended
  wait_queue changed;
};

batch_server::batch_server(const batch_server_needs& needs, batch_server_options options)
    : parts_(std::make_unique<parts>(needs, std::move(options))) {}

batch_server::~batch_server() = default;

std::uint16_t batch_server::port() const noexcept {
  return parts_->http.port();
}

const std::string& batch_server::data() const noexcept {
  return parts_->chosen.data;
}

std::string batch_server::shared_store() const {
  return parts_->shared ? parts_->shared->database.name() : std::string();
}

asio::awaitable<void> batch_server::work() {
  if (!parts_->chosen.webhook.url.empty()) {
    asio::co_spawn(parts_->loop, parts_->announcer.work(), [this](const std::exception_ptr&) {
      parts_->announced = true;
      parts_->changed.wake_all();
    });
  } else {
    parts_->announced = true;
  }
  std::exception_ptr fault;
  try {
    co_await parts_->runner.work();
  } catch (...) {
    fault = std::current_exception();
    parts_->stop();
  }
  while (!parts_->announced) co_await parts_->changed.wait();
  co_await parts_->calls.ended();
  // Waits for the answers that are being sent. If they take too long, the caller uses abort().
  parts_->http.stop_accepting();
  co_await parts_->http.drained();
  if (fault) std::rethrow_exception(fault);
}

void batch_server::keys_changed() {
  parts_->runner.keys_changed();
}

void batch_server::stop() {
  parts_->stop();
}

void batch_server::abort() {
  parts_->stop();
  parts_->announcer.abort();
  parts_->runner.abort();
  parts_->http.abort();
}

}  // namespace sluice::server
