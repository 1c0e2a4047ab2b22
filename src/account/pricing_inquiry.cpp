#include "account/pricing_inquiry.hpp"

#include <fmt/format.h>

#include <utility>

#include "account/site_units.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice {

boost::asio::awaitable<pricing_answer> ask_pricing(http_client& client, const relay_options& relay,
                                                   std::string group, observer* seen_by) {
  relay_inquiry inquiry(client, relay, seen_by);
  const std::string path = "/api/pricing";
  const std::string status_path = "/api/status";
  pricing_answer answer;
  const relay_answer list = co_await inquiry.get(path);
  if (!list.succeeded()) {
    answer.why_not = fmt::format("does not tell its prices: {}: {}", list.url, said(list));
    co_return answer;
  }
  const relay_answer site = co_await inquiry.get(status_path);
  relay_pricing_options options{std::move(group)};
  if (site.succeeded()) {
    options.quota_per_unit = account::site_units::read(site.body).quota_per_dollar();
  }
  auto pricing = read_relay_pricing(list.body, options);
  if (pricing) {
    answer.told = *std::move(pricing);
  } else {
    answer.why_not =
        fmt::format("does not tell its prices: what {} answers {}", list.url, pricing.error());
  }
  co_return answer;
}

}  // namespace sluice
