#include "cli/settings/price_lists.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "cli/log_observer.hpp"
#include "cli/lone_client.hpp"

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

asio::awaitable<void> ask(http_client& client, const relay_options& relay, const std::string& group,
                          pricing_answer& answer) {
  answer = co_await ask_pricing(client, relay, group, &log_observer());
}

}  // namespace

pricing_answer ask_price_list(const relay_member& member, const std::string& group) {
  relay_options relay = member.relay;
  relay.total_timeout = std::min<duration>(relay.total_timeout, longest);
  lone_client asking(relay);
  pricing_answer answer;
  asking.run(ask(asking.client(), relay, group, answer));
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
