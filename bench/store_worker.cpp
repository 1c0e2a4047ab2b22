// A worker without an engine and a relay. It makes all calls to the database that `sluice work`
// makes, and gives each request the same reply itself. So it needs little CPU time, and PostgreSQL
// is the first limit. `bench/workers.py --store-only` runs it in place of `sluice work`.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>

#include "async/background.hpp"
#include "async/sleeper.hpp"
#include "async/steady_clock.hpp"
#include "async/wait_queue.hpp"
#include "cluster/leased_work.hpp"
#include "cluster/postgres_jobs.hpp"
#include "cluster/window_grants.hpp"

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using sluice::duration;
using sluice::request;
using sluice::time_point;
using sluice::cluster::job_store;
using sluice::cluster::leased_work;
using sluice::cluster::window_grants;

// These are the values of `sluice work`.
constexpr std::size_t database_threads = 4;
constexpr std::size_t in_hand_for_each = 4;
constexpr duration progress_interval = 2s;
constexpr duration margin = 1s;
constexpr duration longest_connect = 10s;

struct options {
  std::string store;
  std::size_t concurrency = 64;
  unsigned per_minute = 0;
  unsigned workers = 1;
  unsigned latency_ms = 0;
  unsigned tokens = 5;
};

// The reply to every request, as a relay writes it.
sluice::reply reply_of(unsigned tokens) {
  sluice::reply whole;
  whole.request_id = "20261129004922460624739gmssujfv";
  std::string text;
  for (unsigned i = 0; i < tokens; ++i) text += fmt::format(" word{}", i * 7919 % 100);
  whole.body = fmt::format(
      R"({{"id":"chatcmpl-d8HkYOMvskYlWGhczYOlxI6hKsPls","object":"chat.completion",)"
      R"("created":1795913362,"model":"gpt-4o-mini","choices":[{{"index":0,"message":)"
      R"({{"role":"assistant","content":"{}","refusal":null}},"logprobs":null,)"
      R"("finish_reason":"stop"}}],"usage":{{"prompt_tokens":14,"completion_tokens":{},)"
      R"("total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0}},)"
      R"("completion_tokens_details":{{"reasoning_tokens":0}}}},)"
      R"("system_fingerprint":"fp_196a4061af"}})",
      text, tokens, 14 + tokens);
  whole.streamed = true;
  whole.usage = sluice::token_usage{.prompt_tokens = 14, .completion_tokens = tokens};
  whole.finish_reasons["stop"] = 1;
  return whole;
}

class worker {
 public:
  worker(job_store& store, const options& chosen)
      : chosen_(chosen),
        store_(store),
        name_(fmt::format("store_worker/{}", ::getpid())),
        reply_(reply_of(chosen.tokens)),
        free_(static_cast<std::ptrdiff_t>(chosen.concurrency)),
        grants_({.loop = loop_,
                 .time = clock_,
                 .store = store,
                 .threads = threads_,
                 .worker = name_,
                 .say = [](const std::string& sentence) { fmt::print(stderr, "{}\n", sentence); }}),
        limit_(grants_.open("bench", chosen.per_minute, 0, margin, longest_connect + margin)),
        work_({.loop = loop_,
               .time = clock_,
               .store = store,
               .threads = threads_,
               .prices = prices_,
               .say = [](sluice::severity,
                         const std::string& sentence) { fmt::print(stderr, "{}\n", sentence); },
               .stop_run = [] {},
               .funds_changed = [] {}},
              {.worker = name_, .in_hand = in_hand_for_each * chosen.concurrency}) {}

  /// Works until the queue is empty. Returns false if it ended for another reason.
  bool work() {
    start(work_.work());
    start(grants_.work());
    start(watch_progress());
    const std::jthread reader([this] { read(); });
    loop_.run();
    if (!work_.why().empty()) fmt::print(stderr, "{}\n", work_.why());
    const auto sums = work_.sums();
    return work_.ended_by() == leased_work::end_reason::none && sums.lost_chunks == 0 &&
           sums.unstored == 0;
  }

 private:
  // An error ends the program at once, because the reader may be waiting.
  void start(asio::awaitable<void> part) {
    asio::co_spawn(loop_, std::move(part), [](const std::exception_ptr& fault) {
      try {
        if (fault) std::rethrow_exception(fault);
      } catch (const std::exception& error) {
        fmt::print(stderr, "store_worker: {}\n", error.what());
        std::_Exit(EXIT_FAILURE);
      }
    });
  }

  // Runs on its own thread, like the reader of an engine. The limit belongs to all workers, and
  // each starts its part of it, evenly spaced.
  void read() {
    duration gap{};
    if (chosen_.per_minute > 0) gap = duration{60s} * chosen_.workers / chosen_.per_minute;
    auto due = std::chrono::steady_clock::now();
    while (auto next = work_.next()) {
      free_.acquire();
      std::this_thread::sleep_until(due += gap);
      asio::post(loop_,
                 [this, one = std::move(*next)]() mutable { start(answer(std::move(one))); });
    }
    for (std::size_t i = 0; i < chosen_.concurrency; ++i) free_.acquire();
    asio::post(loop_, [this] {
      work_.close(10s);
      grants_.stop();
      ended_ = true;
      sleeper_.wake_all();
    });
  }

  // One attempt and its result, with the calls of an engine.
  asio::awaitable<void> answer(request asked) {
    std::optional<sluice::shared_limit::ticket> ticket;
    while (!(ticket = limit_.take(clock_.now(), 0))) {
      co_await sleeper_.sleep_until(limit_.next(clock_.now()));
    }
    const time_point began = clock_.now();
    const double began_unix = clock_.unix_now();
    const std::uint32_t number = asked.attempts + 1;
    work_.attempt_started({asked.job, asked.custom_id, number, {}});
    co_await recorded();
    limit_.sent(*ticket, clock_.now());
    if (chosen_.latency_ms > 0) {
      co_await sleeper_.sleep_until(clock_.now() + std::chrono::milliseconds{chosen_.latency_ms});
    }
    limit_.answered(*ticket, clock_.now());
    limit_.done(*ticket);
    sluice::result finished;
    finished.outcome = reply_;
    finished.job = asked.job;
    finished.line = asked.line;
    finished.custom_id = std::move(asked.custom_id);
    finished.target = asked.target;
    finished.model = std::move(asked.model);
    finished.digest = std::move(asked.digest);
    finished.attempts = number;
    finished.streamed = true;
    finished.started_at = began_unix;
    finished.ttft_ms = finished.latency_ms =
        std::chrono::duration<double, std::milli>(clock_.now() - began).count();
    work_.put(std::move(finished));
    free_.release();
  }

  asio::awaitable<void> recorded() {
    bool done = false;
    sluice::wait_queue stored;
    work_.record([&](const std::exception_ptr&) {
      done = true;
      stored.wake_all();
    });
    while (!done) co_await stored.wait();
  }

  asio::awaitable<void> watch_progress() {
    while (!ended_) {
      co_await threads_.run([this] { return store_.list_jobs(); });
      co_await sleeper_.sleep_until(clock_.now() + progress_interval);
    }
  }

  const options chosen_;
  job_store& store_;
  const std::string name_;
  const sluice::reply reply_;
  const sluice::relay_prices prices_{sluice::price_table::built_in()};
  std::counting_semaphore<> free_;  // attempts that may begin
  asio::io_context loop_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  sluice::steady_clock clock_{loop_};
  sluice::background threads_{loop_, database_threads};
  sluice::sleeper sleeper_{clock_};
  bool ended_ = false;
  window_grants grants_;
  sluice::shared_limit& limit_;
  leased_work work_;
};

}  // namespace

int main(int count, char** arguments) {
  try {
    options chosen;
    CLI::App app("Makes the database calls of sluice work, without a relay.");
    app.add_option("--store", chosen.store, "the PostgreSQL")->required();
    app.add_option("--concurrency", chosen.concurrency, "attempts in flight");
    app.add_option("--rpm", chosen.per_minute, "the limit that all workers share; 0: none");
    app.add_option("--workers", chosen.workers, "how many workers share it");
    app.add_option("--latency", chosen.latency_ms, "milliseconds until a reply comes");
    app.add_option("--tokens", chosen.tokens, "tokens of a reply");
    CLI11_PARSE(app, count, arguments);
    const auto store = sluice::cluster::open_postgres_jobs(chosen.store);
    return worker(*store, chosen).work() ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    return EXIT_FAILURE;
  }
}
