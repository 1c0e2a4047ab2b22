#include "cli/commands/serve_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/refuse.hpp"
#include "cli/access_file.hpp"
#include "cli/log_notes.hpp"
#include "cli/log_observer.hpp"
#include "cli/machine_limits.hpp"
#include "cli/screen/screen.hpp"
#include "cli/serve_check.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/serve_settings.hpp"
#include "files/file_system.hpp"
#include "server/access_keys.hpp"
#include "server/batch_server.hpp"
#include "sluice/engine.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/interrupts.hpp"
#include "terminal/service_manager.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::size_t files_of_a_batch = 4;

// The signals of a server. SIGHUP reads the keys again. The first other signal stops the server in
// order, the second one at once. Several signals that `timeout` sends for one event count as one
// (see signal_judge).
class server_signals {
 public:
  struct actions {
    std::function<void()> stop;
    std::function<void()> abort;
    std::function<void()> reload;
  };
  server_signals(asio::io_context& loop, actions what)
      : signals_(loop, SIGTERM, SIGHUP, SIGCONT), undecided_(loop), what_(std::move(what)) {
    if (!is_ignored(SIGINT)) signals_.add(SIGINT);
    wait();
  }
  // A signal that has already come may not be cancelled any more.
  void leave() {
    left_ = true;
    undecided_.cancel();
    signals_.cancel();
  }

 private:
  void wait() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error || left_) return;
      if (signal == SIGHUP) {
        what_.reload();
      } else {
        take(signal);
      }
      if (!left_) wait();
    });
  }

  void take(int signal) {
    using enum signal_judge::verdict;
    switch (judge_.take(signal, std::chrono::steady_clock::now())) {
      case nothing:
        return;
      case end_in_order:
        what_.stop();
        return;
      case end_at_once:
        what_.abort();
        return;
      case end_at_once_unless_continued:
        undecided_.expires_after(signal_judge::sent_twice);
        undecided_.async_wait([this](const boost::system::error_code& error) {
          if (!error && !left_) what_.abort();
        });
        return;
      case continued:
        undecided_.cancel();
        return;
    }
  }

  asio::signal_set signals_;
  asio::steady_timer undecided_;  // while it runs, a SIGCONT makes two signals count as one
  signal_judge judge_;
  actions what_;
  bool left_ = false;
};

// Regularly tells the service manager that the event loop is alive.
class heartbeat {
 public:
  heartbeat(clock& time, const service_manager& service) : time_(time), service_(service) {
    if (const auto interval = service.watchdog_interval()) {
      interval_ = *interval;
      beat();
    }
  }
  heartbeat(const heartbeat&) = delete;
  heartbeat& operator=(const heartbeat&) = delete;
  ~heartbeat() { leave(); }
  void leave() { time_.cancel(std::exchange(timer_, 0)); }

 private:
  void beat() {
    service_.tell("WATCHDOG=1");
    timer_ = time_.call_at(time_.now() + interval_, [this] { beat(); });
  }

  clock& time_;
  const service_manager& service_;
  duration interval_{};
  clock::timer timer_ = 0;
};

// If the file is malformed, the keys do not change.
void reload_keys(const std::string& file, file_system& disk, server::access_keys& keys) {
  if (file.empty()) return spdlog::info("SIGHUP: there is no --keys file to read again");
  try {
    keys = read_client_keys(file, disk);
    spdlog::info("SIGHUP: read {}; {} key(s)", file, keys.size());
  } catch (const std::exception& fault) {
    spdlog::warn("SIGHUP: the keys stay as they are: {}", fault.what());
  }
}

exit_status serve(serve_settings& chosen) {
  screen shown;
  run_settings& run = chosen.run;
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  allow_open_files();
  prepared_relays relays(run, shown, {.use = relay_use::send, .check_all = true});
  run.engine.output.simulated = relays.simulated();
  // If the relay refuses a request, only that request fails. It says nothing about other clients'
  // batches.
  run.engine.pace.keep_going = true;
  run.engine.pace.files_of_jobs = chosen.batches_at_once * files_of_a_batch;
  server::batch_server_options options = server_options_of(chosen);
  if (chosen.check_only) return check_serve(chosen, options, relays);

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  std::optional<machine_limits> machines;
  if (!options.store.empty()) {
    machines.emplace(loop, options.store);
    machines->share_with(run.engine.pace);
  }
  engine sender(loop, run.engine, &log_observer());
  const relay_prices prices = relays.prices();
  const auto disk =
      system_files(0600, [](const std::string& sentence) { spdlog::warn("{}", sentence); });
  server::access_keys keys = read_client_keys(chosen.keys, *disk);
  std::optional<access_file> log;
  if (!chosen.access_log.empty()) log.emplace(chosen.access_log);
  for (const auto& member : relays.members()) {
    for (const auto& [ours, theirs] : member.models) options.models.insert(ours);
  }
  server::batch_server server(
      {.loop = loop,
       .sender = sender,
       .prices = prices,
       .keys = keys,
       .files = *disk,
       .listener = &log_observer(),
       .log = log ? [&log](const std::string& line) { log->append(line); } : server::access_log()},
      std::move(options));
  relays.show_hosts();
  shown.show_heading();
  const std::string shared = server.shared_store();
  shown.line(fmt::format("sluice: serving {}, {} in {}", serve_url(chosen, server.port()),
                         shared.empty() ? "data" : shared + ", copies", server.data()));

  const service_manager service;
  heartbeat beats(sender.time(), service);
  clock::timer end_of_grace = 0;
  server_signals signals(
      loop, {.stop =
                 [&] {
                   service.tell("STOPPING=1");
                   spdlog::info("stopping: {} in flight may finish within --grace",
                                sender.now().in_flight);
                   server.stop();
                   end_of_grace = sender.time().call_at(sender.time().now() + run.grace, [&] {
                     end_of_grace = 0;
                     server.abort();
                   });
                 },
             .abort = [&] { server.abort(); },
             .reload =
                 [&] {
                   service.reloading();
                   reload_keys(chosen.keys, *disk, keys);
                   server.keys_changed();
                   if (log) log->reopen();
                   service.tell("READY=1");
                 }});
  std::exception_ptr fault;
  asio::co_spawn(loop, server.work(), [&](std::exception_ptr thrown) {
    fault = std::move(thrown);
    signals.leave();
    beats.leave();
    sender.time().cancel(end_of_grace);
    if (machines) machines->stop();
  });
  if (machines) machines->begin();
  service.tell("READY=1");
  loop.run();
  if (fault) std::rethrow_exception(fault);
  return success;
}

}  // namespace

command serve_command() {
  struct state {
    serve_settings chosen;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(serve_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "serve",
      .summary = "Serve OpenAI's Files and Batches API over the relay",
      .description =
          "Point the base URL of an OpenAI SDK at this server, and its files and batches work over "
          "any relay: upload a JSONL file, create a batch, poll it, fetch its results. Single "
          "calls (chat, completions, embeddings, responses, messages, models) pass through it, "
          "before "
          "batch work. All share one limit.\n"
          "\n"
          "Everything is kept in one folder. After a kill or a power cut, start the server again: "
          "each batch goes on where it was, and no finished request is sent twice.\n"
          "\n"
          "SIGTERM stops it: what is in flight may finish within --grace. SIGHUP reads --keys "
          "again, and opens --access-log again. /healthz, /readyz and /metrics need no key.",
      .common_flags = {"listen",
                       "data",
                       "store",
                       "keys",
                       "allow-host",
                       "tls-cert",
                       "tls-key",
                       "insecure-http",
                       "base-url",
                       "api-key-file",
                       "simulate",
                       "access-log",
                       "webhook",
                       "check-config",
                       "rpm",
                       "tpm",
                       "concurrency",
                       "interactive-reserve",
                       "batches-at-once",
                       "quiet"},
      .exit_statuses = {{0, "stopped by a signal"}, {2, "cannot start"}},
      .examples = {"sluice serve --simulate --data serve-data",
                   "sluice serve --base-url https://relay.example/v1 --rpm 200",
                   "sluice serve --listen 0.0.0.0:8080 --keys keys.toml --insecure-http"},
      .flags = flags,
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            return serve(kept->chosen);
          },
  };
}

}  // namespace sluice::cli
