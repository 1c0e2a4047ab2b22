#include <benchmark/benchmark.h>

#include <string>

#include "openai/sse_parser.hpp"

namespace {

constexpr int events_per_stream = 1000;

/// Parses events of `size` bytes each. Each read has `read` bytes.
void parse(benchmark::State& state, std::string_view line_end) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto read = static_cast<std::size_t>(state.range(1));
  std::string event = "data: ";
  event.append(size - event.size() - 2 * line_end.size(), 'x').append(line_end).append(line_end);
  std::string stream;
  for (int i = 0; i < events_per_stream; ++i) stream += event;

  std::int64_t seen = 0;
  for (auto _ : state) {
    sluice::sse_parser parser;
    for (std::size_t at = 0; at < stream.size(); at += read) {
      parser.feed(std::string_view(stream).substr(at, read),
                  [&](const sluice::sse_parser::event& e) {
                    benchmark::DoNotOptimize(e.data.data());
                    ++seen;
                    return true;
                  });
    }
  }
  if (seen != state.iterations() * events_per_stream) state.SkipWithError("events were lost");
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(stream.size()));
  state.counters["per_event"] =
      benchmark::Counter(static_cast<double>(state.iterations() * events_per_stream),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void sse_lf(benchmark::State& state) {
  parse(state, "\n");
}
void sse_crlf(benchmark::State& state) {
  parse(state, "\r\n");
}

BENCHMARK(sse_lf)
    ->ArgNames({"event", "read"})
    ->Args({200, 200})
    ->Args({200, 16384})
    ->Args({200, 150})
    ->Args({16384, 4096});
BENCHMARK(sse_crlf)->ArgNames({"event", "read"})->Args({200, 200})->Args({200, 16384});

}  // namespace
