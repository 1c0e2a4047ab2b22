#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Where a relay stands, out of `--base-url`. Endpoints bring a `/v1` of their own, so
/// https://host, https://host/, https://host/v1 and https://host/prefix/v1 give one each. Where the
/// path holds a version of its own (`/api/v3`), or ends as addresses do below which endpoints hang
/// without one (`/openai`), it is taken as it is. A pasted endpoint loses its tail; with a `#`
/// behind it, an address is where requests go, to the letter.
struct base_url {
  bool tls = true;
  std::string host;       ///< without the brackets of an IPv6 address
  std::string port;       ///< in digits
  std::string endpoints;  ///< below this path they hang: "/v1", "/prefix/v1", "/api/v3"
  std::string prefix;     ///< below this one a relay has what is no endpoint: "", "/prefix", "/api"
  std::string exact;      ///< the target of every request, with its query; empty: none is given

  /// Throws fatal_error, naming the text and the form it should have.
  static base_url parse(std::string_view text);

  /// Where a request for "/v1/chat/completions" or "/api/status" goes. What only asks goes past an
  /// exact address, which is an endpoint's.
  std::string target(std::string_view path, bool asks = false) const;
  /// The same as a whole URL that may be shown: without its query.
  std::string shown(std::string_view path, bool asks = false) const;

  /// `Host` header: the port only where it is not the scheme's own.
  std::string authority() const;
  std::string origin() const;  ///< scheme://authority
  /// Whether a key that is sent there can be read on its way.
  bool in_the_clear() const;

 private:
  void hang_endpoints(std::string_view path);
};

/// An address as it may be shown: a password before an @ and a key behind a ? are not to be seen.
std::string shown_address(std::string_view url);

/// Whether what is sent to the host never leaves the machine: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

/// A host as URLs have it: an IPv6 address in brackets.
std::string host_in_url(const std::string& host);

}  // namespace sluice
