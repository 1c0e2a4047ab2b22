#include <boost/asio.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "sluice/engine.hpp"

// Gives three questions from memory, and prints their replies.
struct questions : sluice::request_source, sluice::result_sink {
  int asked = 0;

  std::optional<sluice::request> next() override {
    if (asked == 3) return std::nullopt;
    sluice::request one;
    one.line = static_cast<std::uint64_t>(++asked);
    one.custom_id = "question-" + std::to_string(asked);
    one.model = "gpt-4o-mini";
    one.body = R"({"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]})";
    return one;
  }
  void cancel() override {}
  std::string_view identity(std::size_t) const override { return "three questions"; }

  void attempt_started(const sluice::attempt_record&) override {}
  void attempt_ended(const sluice::attempt_record&, sluice::attempt_end) override {}
  void put(sluice::result&& finished) override {
    std::cout << finished.custom_id << ": "
              << (finished.outcome ? finished.outcome->body : finished.outcome.error().message)
              << '\n';
  }
  void flush() override {}
};

int main() try {
  sluice::config config;
  const char* key = std::getenv("OPENAI_API_KEY");
  const char* url = std::getenv("OPENAI_BASE_URL");
  config.relay.api_key = key != nullptr ? key : "";
  if (url != nullptr) config.relay.base_url = url;
  boost::asio::io_context loop(1);
  sluice::engine engine(loop, config);
  questions all;
  auto outcome = co_spawn(loop, engine.run(all, all), boost::asio::use_future);
  loop.run();
  const sluice::run_outcome ended = outcome.get();
  if (ended.reason != sluice::stop_reason::none) std::cout << "stopped: " << ended.message << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return EXIT_FAILURE;
}
