#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "http/server/server.hpp"
#include "server/api_error.hpp"

namespace sluice::server {

/// The names by which clients may address a server whose routes need no key. IP addresses,
/// `localhost` and names that end with `.localhost` are always allowed, because a web page cannot
/// use them as its own domain.
struct own_names {
  std::set<std::string> names;  ///< in lower case, without ports
};

/// Returns an error if a foreign web page may have made a browser send this request; nothing if the
/// request is allowed. Use it where no key protects the route: a web page has no key, but browsers
/// let it send requests to this machine. Programs other than browsers send neither `Origin` nor
/// `Sec-Fetch-Site`, and are allowed. Pure.
///
/// - `Host` must be one of the server's own names. If a page of evil.example has changed its
///   address to 127.0.0.1 (DNS rebinding), the browser still sends evil.example there.
/// - `Sec-Fetch-Site`, or `Origin` if it is missing, must say that the request comes from a page of
///   this server, or from no page.
std::optional<api_error> refuse_foreign_page(const http_server::request_head& head,
                                             const own_names& own);

/// Returns the name or address in a Host field or an authority, in lower case, without its port and
/// without the brackets of IPv6.
std::string host_name(std::string_view authority);

}  // namespace sluice::server
