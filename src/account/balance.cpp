#include "account/balance.hpp"

#include <algorithm>

#include "account/quota_inquiry.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice {

boost::asio::awaitable<std::optional<usd>> ask_balance(http_client& client,
                                                       const relay_options& relay,
                                                       const clock& time, observer* seen_by) {
  relay_inquiry asked(client, relay, seen_by);
  account::quota_inquiry inquiry(asked, time);
  const auto told = co_await inquiry.ask_thriftily();
  if (!told || !told->remaining) co_return std::nullopt;
  co_return std::max(*told->remaining, usd());
}

}  // namespace sluice
