#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "http/base_url.hpp"

namespace sluice {

/// A proxy, parsed from `[scheme://][user:password@]host[:port]`. Both kinds of proxy get the
/// relay's name and look up its address themselves.
struct proxy {
  enum class protocol : std::uint8_t { http, socks5 };
  protocol kind = protocol::http;
  std::string host;
  std::string port;
  std::string user;
  std::string password;

  /// Schemes: http (the default), socks5, socks5h. Throws fatal_error; its message begins with
  /// `origin`, the place where `text` was set, and does not contain the credentials.
  static proxy parse(std::string_view text, std::string_view origin);

  std::string name() const;  ///< scheme://host:port, for display
};

/// The proxy for a relay from the environment, empty: none. Uses HTTPS_PROXY or HTTP_PROXY by the
/// relay's scheme, else ALL_PROXY, unless NO_PROXY contains the relay's host (names including their
/// subdomains, addresses, ranges of addresses, *). As in curl, a variable in lower case comes
/// before the same one in upper case. `variable` returns null for a variable that is not set.
/// Throws fatal_error, with the name of the variable, if its value is not a proxy.
std::string proxy_from_environment(const base_url& relay,
                                   const std::function<const char*(const char*)>& variable);

}  // namespace sluice
