#include "http/connector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "http/address_race.hpp"
#include "http/as_result.hpp"
#include "http/tunnel.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using how = exchange_end::how;

std::optional<proxy> proxy_of(const relay_options& relay) {
  if (relay.proxy.empty()) return std::nullopt;
  return proxy::parse(relay.proxy, "the proxy");
}

exchange_end failed(const connection& link, how end, std::string message) {
  exchange_end result;
  result.end = end;
  result.message = link.first_cause(std::move(message));
  return result;
}

}  // namespace

connector::connector(asio::io_context& context, clock& clock, const relay_options& relay,
                     base_url url, name_lookup::resolver resolve,
                     std::shared_ptr<lookup_threads> threads)
    : context_(context),
      clock_(clock),
      url_(std::move(url)),
      connection_age_(relay.connection_age),
      proxy_(proxy_of(relay)),
      names_(context.get_executor(), clock, proxy_ ? proxy_->host : url_.host,
             proxy_ ? proxy_->port : url_.port, std::move(resolve), std::move(threads)) {
  if (url_.tls) tls_.emplace(url_.host, relay.insecure);
}

std::unique_ptr<connection> connector::make() {
  return std::make_unique<connection>(context_, clock_, tls_ ? &tls_->context() : nullptr);
}

// Looks up the name if needed. Returns the error text; empty if there is an address.
asio::awaitable<std::string> connector::find_addresses(connection& link) {
  co_await names_.find(link.parked);
  co_return link.given_up() ? "no answer" : names_.error();
}

// Connects to one of the addresses. If none of the cached addresses accepts a connection, the DNS
// entry may have changed: looks it up again, and tries once more if there are other addresses.
asio::awaitable<exchange_end> connector::connect(connection& link, const std::string& goal) {
  const std::uint64_t cached = names_.answers();
  std::vector<tcp::endpoint> previous;
  error_code refused;
  for (;;) {
    const std::string error = co_await find_addresses(link);
    if (!error.empty()) {
      const how why =
          names_.is_unknown() && !link.given_up() ? how::wrong_server : how::unreachable;
      co_return failed(link, why, fmt::format("cannot resolve {}: {}", goal, error));
    }
    const std::uint64_t answer = names_.answers();
    const std::vector<tcp::endpoint> addresses = in_racing_order(names_.addresses());
    if (std::is_permutation(addresses.begin(), addresses.end(), previous.begin(), previous.end()))
      break;
    refused = co_await connect_to_any(link, clock_, addresses);
    if (!refused) co_return exchange_end{};
    if (link.given_up() || answer != cached) break;
    names_.doubt(answer);
    previous = addresses;
  }
  co_return failed(link, how::unreachable,
                   fmt::format("cannot connect to {}: {}", goal, refused.message()));
}

// Connects to the relay, through the proxy if there is one, up to the point where TLS begins.
asio::awaitable<exchange_end> connector::reach(connection& link) {
  const std::string goal = proxy_ ? "the proxy " + proxy_->name() : url_.authority();
  exchange_end connected = co_await connect(link, goal);
  if (connected.end != how::complete) co_return connected;
  error_code ignored;
  names_.served(link.socket.remote_endpoint(ignored));
  link.socket.set_option(tcp::no_delay(true), ignored);
  if (proxy_ && !forwards()) {
    const tunnel_end tunnel = co_await open_tunnel(link.socket, *proxy_, url_);
    if (!tunnel.error.empty()) {
      const bool refused_by_proxy = tunnel.refused_credentials && !tunnelled_;
      co_return failed(
          link, refused_by_proxy ? how::refused_by_proxy : how::unreachable,
          fmt::format("{} cannot connect to {}: {}", goal, url_.authority(), tunnel.error));
    }
    tunnelled_ = true;
  }
  link.socket.non_blocking(true, ignored);
  co_return exchange_end{};
}

asio::awaitable<exchange_end> connector::open(connection& link) {
  exchange_end opened = co_await try_to_open(link);
  // The address may belong to another machine now, so look it up again.
  if (opened.end != how::complete) names_.doubt(names_.answers());
  co_return opened;
}

asio::awaitable<exchange_end> connector::try_to_open(connection& link) {
  const exchange_end reached = co_await reach(link);
  if (reached.end != how::complete) co_return reached;
  if (link.tls) {
    tls_->prepare(*link.tls, link.certificate_names);
    auto [error] = co_await link.tls->async_handshake(asio::ssl::stream_base::client, as_result);
    if (error) {
      const std::string fault = tls_->certificate_error(*link.tls, error, link.certificate_names);
      if (!fault.empty()) {
        co_return failed(
            link, how::bad_certificate,
            fmt::format("the certificate of {} is not valid: {}", url_.authority(), fault));
      }
      if (!secured_ && tls_client::is_no_tls(error)) {
        co_return failed(link, how::wrong_server,
                         fmt::format("{} does not speak TLS; its address may begin with http://",
                                     url_.authority()));
      }
      co_return failed(
          link, how::unreachable,
          fmt::format("the TLS handshake with {} failed: {}", url_.authority(), error.message()));
    }
    secured_ = true;
  }
  // Random, so that connections that were opened together do not all close at the same time.
  const double share = std::uniform_real_distribution<>(0.75, 1.25)(spread_);
  link.retire_at = clock_.now() + std::chrono::duration_cast<duration>(connection_age_ * share);
  co_return exchange_end{};
}

std::string connector::request_prefix() const {
  return forwards() ? url_.origin() : std::string();
}

std::string connector::proxy_authorization() const {
  return forwards() && !proxy_->user.empty() ? basic_credentials(*proxy_) : std::string{};
}

}  // namespace sluice
