#include "proxy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/algorithm/string/predicate.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <optional>
#include <utility>

#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace ip = boost::asio::ip;

// With one address in it, a network holds an address that it is the same as, or a part of.
bool holds(std::string_view network, const ip::address& host) {
  boost::system::error_code no_v4;
  boost::system::error_code no_v6;
  if (host.is_v4()) {
    const auto range = ip::make_network_v4(std::string(network), no_v4);
    return !no_v4 &&
           (range.canonical() == ip::network_v4(host.to_v4(), range.prefix_length()).canonical());
  }
  const auto range = ip::make_network_v6(std::string(network), no_v6);
  return !no_v6 &&
         (range.canonical() == ip::network_v6(host.to_v6(), range.prefix_length()).canonical());
}

// One entry of NO_PROXY: a name, which holds all below it, an address or a range of addresses; a
// name or an address may have a port behind it.
bool excludes(std::string_view entry, const base_url& relay) {
  if (entry == "*") return true;
  boost::system::error_code no_address;
  const auto address = ip::make_address(relay.host, no_address);
  if (!no_address && entry.find('/') != std::string_view::npos) return holds(entry, address);

  const bool bracketed = entry.starts_with('[');
  const std::size_t end = bracketed ? entry.find(']') : std::string_view::npos;
  const std::size_t colon = entry.rfind(':');
  const bool has_port = bracketed ? end != std::string_view::npos && colon == end + 1
                                  : colon != std::string_view::npos && entry.find(':') == colon;
  if (has_port) {
    if (entry.substr(colon + 1) != relay.port) return false;
    entry = entry.substr(0, colon);
  }
  if (bracketed) entry = entry.substr(1, entry.find(']') - 1);
  if (!no_address) {
    const auto named = ip::make_address(std::string(entry), no_address);
    return !no_address && named == address;
  }
  while (entry.starts_with('.')) entry.remove_prefix(1);
  if (entry.empty() || !boost::algorithm::iends_with(relay.host, entry)) return false;
  const std::size_t before = relay.host.size() - entry.size();
  return before == 0 || relay.host[before - 1] == '.';
}

bool excluded(std::string_view list, const base_url& relay) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find_first_of(", \t"), list.size());
    if (end > 0 && excludes(list.substr(0, end), relay)) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

using set_variable = std::pair<std::string, std::string>;

// The first of the variables that is set, small letters first.
std::optional<set_variable> first_set(std::initializer_list<const char*> names,
                                      const std::function<const char*(const char*)>& variable) {
  for (const std::string name : names) {
    for (const std::string& spelling : {boost::algorithm::to_lower_copy(name), name}) {
      const char* text = variable(spelling.c_str());
      if (text != nullptr && *text != '\0') return set_variable{spelling, text};
    }
  }
  return std::nullopt;
}

}  // namespace

proxy proxy::parse(std::string_view text, std::string_view origin) {
  const auto fail = [&](std::string_view what) {
    throw fatal_error(
        fatal_error::kind::cannot_start,
        fmt::format("{}: {}; write it like http://proxy.example:3128 or socks5h://127.0.0.1:1080",
                    origin, what));
  };
  const std::string whole = text.find("://") == std::string_view::npos
                                ? fmt::format("http://{}", text)
                                : std::string(text);
  const auto parsed = boost::urls::parse_uri(whole);
  if (!parsed) fail("is no URL");
  const boost::urls::url_view& url = *parsed;
  const std::string scheme = boost::algorithm::to_lower_copy(std::string(url.scheme()));
  proxy result;
  if (scheme == "socks5" || scheme == "socks5h") {
    result.spoken = protocol::socks5;
  } else if (scheme != "http") {
    fail(fmt::format("a proxy of the kind {} is not spoken to", scheme));
  }
  result.host = url.host_address();
  if (result.host.empty()) fail("names no host");
  const std::string port(url.port());
  result.port = !port.empty() ? port : result.spoken == protocol::http ? "80" : "1080";
  if (result.port.size() > 5 || std::stoul(result.port) - 1 >= 65535) fail("has no usable port");
  result.user = url.user();
  result.password = url.password();
  constexpr std::size_t most = 255;  // that SOCKS can carry
  if (result.user.size() > most || result.password.size() > most) {
    fail("its user or password is too long");
  }
  return result;
}

std::string proxy::name() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", spoken == protocol::http ? "http" : "socks5h",
                     is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

std::string proxy_from_environment(const base_url& relay,
                                   const std::function<const char*(const char*)>& variable) {
  const auto named = first_set({relay.tls ? "HTTPS_PROXY" : "HTTP_PROXY", "ALL_PROXY"}, variable);
  if (!named) return {};
  const auto exceptions = first_set({"NO_PROXY"}, variable);
  if (exceptions && excluded(exceptions->second, relay)) return {};
  proxy::parse(named->second, named->first);
  return named->second;
}

}  // namespace sluice
