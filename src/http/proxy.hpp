#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "http/base_url.hpp"

namespace sluice {

/// A proxy on the way to a relay, out of `[scheme://][user:password@]host[:port]`. Both kinds are
/// given the relay's name, not its address: the proxy looks it up.
struct proxy {
  enum class protocol : std::uint8_t { http, socks5 };
  protocol spoken = protocol::http;
  std::string host;
  std::string port;
  std::string user;
  std::string password;

  /// Schemes: http (also when none is given), socks5, socks5h. `origin` names what `text` was given
  /// as; throws fatal_error that names it, without the credentials.
  static proxy parse(std::string_view text, std::string_view origin);

  std::string name() const;  ///< scheme://host:port, as it may be shown
};

/// The text of the proxy that the environment names for a relay, empty for none: HTTPS_PROXY or
/// HTTP_PROXY by the relay's scheme, else ALL_PROXY, unless NO_PROXY holds the relay's host (names
/// with all below them, addresses, ranges of addresses, *). As in curl, a variable in small letters
/// goes before the same one in capitals. `variable` gives null
/// for one that is not set. Throws fatal_error, naming the variable, when it holds no proxy.
std::string proxy_from_environment(const base_url& relay,
                                   const std::function<const char*(const char*)>& variable);

}  // namespace sluice
