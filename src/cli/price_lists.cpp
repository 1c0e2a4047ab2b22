#include "cli/price_lists.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <utility>

#include "http_client.hpp"
#include "steady_clock.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

// The command waits for it.
constexpr std::chrono::seconds longest{30};

void name_as_jobs_do(price_table& prices, const relay_member& member) {
  for (const auto& [here, there] : member.models) {
    if (const listed_price* found = prices.listed(there)) {
      const listed_price price = *found;
      prices.set(here, price);
    }
  }
}

}  // namespace

pricing_answer ask_price_list(const relay_member& member, const std::string& group) {
  relay_options relay = member.relay;
  relay.total_timeout = std::min<duration>(relay.total_timeout, longest);
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  steady_clock time(loop);
  const auto client = make_http_client(loop, time, relay);
  pricing_answer answer;
  std::exception_ptr fault;
  asio::co_spawn(loop, ask_pricing(*client, relay, group),
                 [&](std::exception_ptr thrown, pricing_answer told) {
                   fault = std::move(thrown);
                   answer = std::move(told);
                   client->stop_sending();
                   client->abort();  // what is kept open would keep the loop going
                 });
  loop.run();
  if (fault) std::rethrow_exception(fault);
  if (answer.told) name_as_jobs_do(answer.told->prices, member);
  return answer;
}

std::string left_out_of(const models_left_out& left_out) {
  std::string words;
  const auto add = [&words](std::size_t count, std::string_view why) {
    if (count == 0) return;
    words += fmt::format("{}{} {}", words.empty() ? "" : ", ", count, why);
  };
  add(left_out.per_call, "billed per call");
  add(left_out.by_expression, "by tiers or a formula");
  add(left_out.not_offered, "of other groups");
  add(left_out.unreadable, "without a ratio that can be read");
  return words;
}

}  // namespace sluice::cli
