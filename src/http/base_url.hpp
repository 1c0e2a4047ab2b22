#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// The parsed `--base-url` of a relay. Request URLs have exactly one `/v1`, for https://host,
/// https://host/, https://host/v1 and https://host/prefix/v1 alike. If the path contains another
/// version (`/api/v3`), or ends with a suffix that needs no version (`/openai`), nothing is added.
/// If the address is a whole endpoint (`…/chat/completions`), that part is removed. With a `#` at
/// the end, the address is used for requests exactly as it is.
struct base_url {
  bool tls = true;
  std::string host;       ///< without the brackets of an IPv6 address
  std::string port;       ///< in digits
  std::string endpoints;  ///< path of the API's endpoints: "/v1", "/prefix/v1", "/api/v3"
  std::string prefix;     ///< path of everything else at the relay: "", "/prefix", "/api"
  std::string exact;      ///< target of every request, with query; empty: no `#` address

  /// Throws fatal_error, whose message contains the text and an example.
  static base_url parse(std::string_view text);

  /// The target of a request for "/v1/chat/completions" or "/api/status". `asks`: the request is
  /// not a completion, so an exact address does not apply to it.
  std::string target(std::string_view path, bool asks = false) const;
  /// The same as a whole URL for display, without the query.
  std::string shown(std::string_view path, bool asks = false) const;

  /// `Host` header: contains the port only if it is not the default port.
  std::string authority() const;
  std::string origin() const;  ///< scheme://authority
  /// Returns whether others on the network could read a key that is sent to this address.
  bool in_the_clear() const;

 private:
  void set_paths(std::string_view path);
};

/// An address for display: without a password before an @ and without the query, which may contain
/// a key.
std::string shown_address(std::string_view url);

/// Whether the host is this machine: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

/// A host as it is written in a URL: an IPv6 address in brackets.
std::string host_in_url(const std::string& host);

}  // namespace sluice
