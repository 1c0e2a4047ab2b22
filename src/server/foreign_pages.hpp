#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "http/server/server.hpp"
#include "server/api_error.hpp"

namespace sluice::server {

/// The names under which clients may know a server whose routes need no key. Addresses, `localhost`
/// and names that end with `.localhost` are always among them: no web page can make a name of its
/// own out of these.
struct own_names {
  std::set<std::string> names;  ///< in small letters, without ports
};

/// Why a request is refused that a foreign web page may have made a browser send; nothing: it may
/// pass. To be asked where no key protects the route: a page has no key, but browsers let it send
/// requests to this machine. Programs that are no browsers send none of these fields, and pass.
/// Pure.
///
/// - `Host` must be one of the server's own names: a page of evil.example whose name was changed to
///   127.0.0.1 (DNS rebinding) still says evil.example there.
/// - `Sec-Fetch-Site`, or where it is missing `Origin`, must say that the request is from a page of
///   this server, or from none.
std::optional<api_error> refuse_foreign_page(const http_server::request_head& head,
                                             const own_names& own);

/// The name or address in a Host field or an authority, in small letters, without its port and the
/// brackets of IPv6.
std::string host_name(std::string_view authority);

}  // namespace sluice::server
