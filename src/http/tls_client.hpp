#pragma once

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <string>

#include "http/stamped_stream.hpp"

namespace sluice {

/// TLS settings for all connections to one relay. Not thread safe: use it on the event loop's
/// thread. TLS 1.2 or later, HTTP/1.1 by ALPN. Verifies the certificate and the host name with the
/// system's certificates, or SSL_CERT_FILE and SSL_CERT_DIR. Resumes the relay's last session,
/// which makes the handshake cheaper.
class tls_client {
 public:
  using stream = boost::asio::ssl::stream<stamped_stream&>;

  /// `insecure`: accept any certificate.
  tls_client(std::string host, bool insecure);
  tls_client(const tls_client&) = delete;
  tls_client& operator=(const tls_client&) = delete;
  /// A connection may be open longer; it no longer stores its sessions.
  ~tls_client();

  boost::asio::ssl::context& context() noexcept { return context_; }
  /// Call it before the handshake of each connection. If the certificate is for other hosts, their
  /// names are stored in `others`, which must outlive the handshake.
  void prepare(stream& tls_stream, std::string& others);
  /// The handshake failed because the server uses another protocol, most likely plain HTTP. Pure.
  static bool is_no_tls(const boost::system::error_code& error);
  /// Why the certificate was refused; empty if the handshake failed for another reason.
  std::string certificate_error(stream& tls_stream, const boost::system::error_code& error,
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
