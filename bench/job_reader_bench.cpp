#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "jobs/job_reader.hpp"

namespace {

// Reads a job from the page cache: checks the lines, extracts the bodies, adds the stream fields,
// and computes the digests.
void read_job(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / "sluice_job_reader_bench.jsonl";
  constexpr int lines = 20'000;
  {
    std::ofstream job(path);
    for (int i = 0; i < lines; ++i) {
      job << fmt::format(
                 R"({{"custom_id":"request-{}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"Translate the passage into English."}},{{"role":"user","content":"{}"}}],"temperature":0.2}}}})",
                 i, std::string(static_cast<std::size_t>(state.range(0)), 'x'))
          << '\n';
    }
  }
  const sluice::job_options options;
  for (auto _ : state) {
    sluice::job_reader reader(path.string(), options);
    while (auto line = reader.next()) {
      if (!*line) state.SkipWithError("a good line was refused");
      benchmark::DoNotOptimize(line);
    }
  }
  state.SetItemsProcessed(state.iterations() * lines);
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(std::filesystem::file_size(path)));
  std::filesystem::remove(path);
}
BENCHMARK(read_job)->ArgName("prompt_bytes")->Arg(100)->Arg(4000)->Unit(benchmark::kMillisecond);

}  // namespace
