#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Where a relay stands, out of `--base-url`: https://host, https://host/, https://host/v1 and
/// https://host/prefix/v1 alike, since endpoint paths bring their own `/v1`.
struct base_url {
  bool tls = true;
  std::string host;    ///< without the brackets of an IPv6 address
  std::string port;    ///< in digits
  std::string prefix;  ///< of the path, before `/v1`; empty or "/…" without a slash at the end

  /// Throws fatal_error, naming the text and the form it should have.
  static base_url parse(std::string_view text);

  /// `Host` header: the port only where it is not the scheme's own.
  std::string authority() const;
  std::string origin() const;  ///< scheme://authority
  /// Whether a key that is sent there can be read on its way.
  bool in_the_clear() const;
};

/// Whether what is sent to the host never leaves the machine: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

/// A host as URLs have it: an IPv6 address in brackets.
std::string host_in_url(const std::string& host);

}  // namespace sluice
