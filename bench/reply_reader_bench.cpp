#include <benchmark/benchmark.h>

#include <string>

#include "openai/reply_reader.hpp"

namespace {

using sluice::openai::reply_reader;

/// A chunk in OpenAI's format: 200 bytes with its `data: ` and blank line.
std::string chunk(bool last) {
  const std::string head =
      R"(data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":)";
  const std::string tail =
      last ? R"({},"finish_reason":"stop"}]})" : R"("},"finish_reason":null}]})";
  if (last) return head + tail + "\n\n";
  const std::string open = R"({"content":")";
  return head + open + std::string(200 - head.size() - open.size() - tail.size() - 2, 'x') + tail +
         "\n\n";
}

/// A streamed reply of 100 chunks, with `range(0)` chunks per read.
void streamed_reply(benchmark::State& state) {
  constexpr int chunks = 100;
  std::string stream;
  for (int i = 1; i < chunks; ++i) stream += chunk(false);
  stream += chunk(true) + "data: [DONE]\n\n";
  const std::size_t read = 200 * static_cast<std::size_t>(state.range(0));

  for (auto _ : state) {
    reply_reader reader({});
    sluice::openai::reply_head head;
    head.status = 200;
    reader.head(std::move(head), 0);
    for (std::size_t at = 0; at < stream.size(); at += read) {
      reader.body(std::string_view(stream).substr(at, read));
    }
    auto outcome = reader.finish(reply_reader::ending::complete);
    if (!outcome) state.SkipWithError("the reply was lost");
    benchmark::DoNotOptimize(outcome);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(stream.size()));
  state.counters["per_chunk"] =
      benchmark::Counter(static_cast<double>(state.iterations() * chunks),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK(streamed_reply)->ArgName("chunks_per_read")->Arg(1)->Arg(10)->Arg(100);

/// A reply without a stream.
void whole_reply(benchmark::State& state) {
  const std::string body =
      R"({"id":"chatcmpl-123","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":")" +
      std::string(static_cast<std::size_t>(state.range(0)), 'x') +
      R"(","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":800,"total_tokens":1000}})";
  for (auto _ : state) {
    reply_reader reader({});
    sluice::openai::reply_head head;
    head.status = 200;
    reader.head(std::move(head), 0);
    reader.body(body);
    auto outcome = reader.finish(reply_reader::ending::complete);
    if (!outcome) state.SkipWithError("the reply was lost");
    benchmark::DoNotOptimize(outcome);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

BENCHMARK(whole_reply)->ArgName("content_bytes")->Arg(100)->Arg(4000);

}  // namespace
