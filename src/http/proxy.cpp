#include "http/proxy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/algorithm/string/predicate.hpp>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/error.hpp"

namespace sluice {
namespace {

// The 4 or 16 bytes of an IP address; empty for a name.
std::vector<std::uint8_t> address_bytes(std::string_view text) {
  const boost::core::string_view address(text.data(), text.size());
  if (const auto v4 = boost::urls::parse_ipv4_address(address)) {
    const auto bytes = v4->to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  if (const auto v6 = boost::urls::parse_ipv6_address(address)) {
    const auto bytes = v6->to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  return {};
}

// Returns whether the range, for example 10.0.0.0/8, contains the address.
bool holds(std::string_view range, const std::vector<std::uint8_t>& address) {
  const std::size_t slash = range.find('/');
  const auto network = address_bytes(range.substr(0, slash));
  std::size_t bits = 0;
  const char* end = range.data() + range.size();
  const auto [stop, error] = std::from_chars(range.data() + slash + 1, end, bits);
  if (error != std::errc{} || stop != end || bits > 8 * address.size()) return false;
  if (network.size() != address.size()) return false;
  const std::size_t whole = bits / 8;
  if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole),
                  network.begin())) {
    return false;
  }
  return bits % 8 == 0 || (address[whole] ^ network[whole]) >> (8 - bits % 8) == 0;
}

// Whether one entry of NO_PROXY matches the relay. An entry is a name, which also matches its
// subdomains, an address or a range of addresses. A name or address may be followed by a port.
bool excludes(std::string_view entry, const base_url& relay) {
  if (entry == "*") return true;
  const auto address = address_bytes(relay.host);
  if (!address.empty() && entry.find('/') != std::string_view::npos) return holds(entry, address);

  const bool bracketed = entry.starts_with('[');
  const std::size_t closing = bracketed ? entry.find(']') : std::string_view::npos;
  const std::size_t colon = entry.rfind(':');
  const bool has_port = bracketed ? closing != std::string_view::npos && colon == closing + 1
                                  : colon != std::string_view::npos && entry.find(':') == colon;
  if (has_port) {
    if (entry.substr(colon + 1) != relay.port) return false;
    entry = entry.substr(0, colon);
  }
  if (bracketed) entry = entry.substr(1, entry.find(']') - 1);
  if (!address.empty()) return address_bytes(entry) == address;
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

// The first of the variables that is set; lower case comes first.
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
  if (!parsed) fail("is not a URL");
  const boost::urls::url_view& url = *parsed;
  const std::string scheme = boost::algorithm::to_lower_copy(std::string(url.scheme()));
  proxy result;
  if (scheme == "socks5" || scheme == "socks5h") {
    result.kind = protocol::socks5;
  } else if (scheme != "http") {
    fail(fmt::format("a proxy of type {} is not supported", scheme));
  }
  result.host = url.host_address();
  if (result.host.empty()) fail("has no host");
  const std::string port(url.port());
  result.port = !port.empty() ? port : result.kind == protocol::http ? "80" : "1080";
  if (result.port.size() > 5 || std::stoul(result.port) - 1 >= 65535)
    fail("has no valid port (1 to 65535)");
  result.user = url.user();
  result.password = url.password();
  constexpr std::size_t most = 255;  // limit of SOCKS 5
  if (result.user.size() > most || result.password.size() > most) {
    fail("the user or password is longer than 255 bytes");
  }
  return result;
}

std::string proxy::name() const {
  return fmt::format("{}://{}:{}", kind == protocol::http ? "http" : "socks5h", host_in_url(host),
                     port);
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
