#include <boost/asio.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"

int main() try {
  sluice::config config;
  const char* key = std::getenv("OPENAI_API_KEY");
  const char* url = std::getenv("OPENAI_BASE_URL");
  config.relay.api_key = key != nullptr ? key : "";
  if (url != nullptr) config.relay.base_url = url;
  sluice::job_set jobs({"job.jsonl"}, config.job, config.output, sluice::price_table::built_in());

  boost::asio::io_context loop(1);
  sluice::engine engine(loop, config);
  auto outcome = co_spawn(loop, engine.run(jobs, jobs), boost::asio::use_future);
  loop.run();
  jobs.finish(sluice::job_status::completed, 0, engine.now().most_in_a_minute);
  std::cout << jobs.totals(0).succeeded << " succeeded " << outcome.get().message << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return EXIT_FAILURE;
}
