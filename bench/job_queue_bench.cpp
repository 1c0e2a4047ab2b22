#include <benchmark/benchmark.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <thread>

#include "engine/job_queue.hpp"

namespace {

// One reader thread passes requests to 64 waiting workers on an event loop, as in a run.
void hand_over(benchmark::State& state) {
  constexpr int requests = 100'000;
  constexpr int workers = 64;
  for (auto _ : state) {
    boost::asio::io_context loop(1);
    sluice::job_queue queue(loop.get_executor(), 128);
    int taken = 0;
    const auto drain = [&]() -> boost::asio::awaitable<void> {
      sluice::request next;
      while (co_await queue.pop(next)) ++taken;
    };
    for (int i = 0; i < workers; ++i) boost::asio::co_spawn(loop, drain(), boost::asio::detached);
    std::jthread reader([&] {
      sluice::request next;
      next.body = std::string(300, 'x');
      for (int i = 0; i < requests; ++i) queue.push(sluice::request(next));
      queue.finish();
    });
    const auto keep_running = boost::asio::make_work_guard(loop);
    while (taken < requests) loop.run_one();
  }
  state.SetItemsProcessed(state.iterations() * requests);
}
BENCHMARK(hand_over)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
