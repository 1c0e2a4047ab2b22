#pragma once

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <string>

#include "http/stamped_stream.hpp"

namespace sluice {

/// The TLS side of all connections to one relay: TLS 1.2 and up, HTTP/1.1 by ALPN, the certificate
/// and the host's name verified against the system's store or SSL_CERT_FILE and SSL_CERT_DIR. The
/// last session that the relay gave is offered again, which saves the handshake's dear part.
class tls_client {
 public:
  using stream = boost::asio::ssl::stream<stamped_stream&>;

  /// `insecure` takes any certificate.
  tls_client(std::string host, bool insecure);
  tls_client(const tls_client&) = delete;
  tls_client& operator=(const tls_client&) = delete;

  boost::asio::ssl::context& context() noexcept { return context_; }
  /// Before the handshake of each connection. `others` becomes the names in a certificate that
  /// does not have the host's; it must outlive the handshake.
  void prepare(stream& fresh, std::string& others);
  /// Why the certificate was refused; empty when the handshake failed for another reason.
  std::string distrust(stream& refused, const boost::system::error_code& error,
                       const std::string& others) const;

 private:
  struct session_deleter {
    void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
  };

  static int keep_session(SSL* connection, SSL_SESSION* session);

  const std::string host_;
  bool is_address_ = false;
  boost::asio::ssl::context context_;
  std::unique_ptr<SSL_SESSION, session_deleter> session_;
};

}  // namespace sluice
