#include <benchmark/benchmark.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "sluice/job_set.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Measures the cost of `--durability`: records attempts and writes their results of 600 bytes, in
// groups of 16. The argument is the durability: 0 for each, 1 for second, 2 for none.
void write_results(benchmark::State& state) {
  const fs::path folder = fs::temp_directory_path() / "sluice_job_set_bench";
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::ofstream(folder / "job.jsonl") << R"({"model":"gpt-4o-mini","messages":[]})" << '\n';
  sluice::output_options output;
  output.durable = static_cast<sluice::durability>(state.range(0));
  {
    sluice::job_set jobs({(folder / "job.jsonl").string()}, {}, output,
                         sluice::price_table::built_in());
    sluice::result finished;
    finished.custom_id = "request-1";
    finished.model = "gpt-4o-mini";
    finished.digest = std::string(32, '0');
    sluice::reply whole;
    whole.body = R"({"choices":[{"message":{"content":")" + std::string(500, 'x') + R"("}}]})";
    whole.usage = sluice::token_usage{200, 0, 100, 0};
    finished.outcome = whole;
    auto synced = std::chrono::steady_clock::now();
    for (auto _ : state) {
      for (int i = 0; i < 16; ++i) {
        jobs.attempt_started({0, finished.custom_id, 1, {}});
        jobs.put(sluice::result(finished));
      }
      jobs.flush();
      if (const auto now = std::chrono::steady_clock::now(); now - synced >= 1s) {
        jobs.sync();  // once a second, like the engine
        synced = now;
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * 16);
  fs::remove_all(folder);
}
BENCHMARK(write_results)->ArgName("durability")->Arg(0)->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
