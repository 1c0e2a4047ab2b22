#include "tls_client.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

// Where a context holds its owner; the place that OpenSSL itself offers is Asio's.
int owner_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

tls_client::tls_client(std::string host, bool insecure)
    : host_(std::move(host)), context_(ssl::context::tls_client) {
  error_code is_name;
  boost::asio::ip::make_address(host_, is_name);
  is_address_ = !is_name;

  SSL_CTX* native = context_.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  context_.set_verify_mode(insecure ? ssl::verify_none : ssl::verify_peer);
  context_.set_default_verify_paths();
  constexpr std::string_view http_1_1 = "\x08http/1.1";  // for servers that would begin with HTTP/2
  SSL_CTX_set_alpn_protos(native, reinterpret_cast<const unsigned char*>(http_1_1.data()),
                          static_cast<unsigned>(http_1_1.size()));
  SSL_CTX_set_ex_data(native, owner_index(), this);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(native, &tls_client::keep_session);
}

// The relay may give sessions at any time after the handshake; the latest stands.
int tls_client::keep_session(SSL* connection, SSL_SESSION* session) {
  void* owner = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), owner_index());
  static_cast<tls_client*>(owner)->session_.reset(session);
  return 1;  // it is ours now
}

void tls_client::prepare(stream& fresh) {
  SSL* native = fresh.native_handle();
  if (!is_address_) SSL_set_tlsext_host_name(native, host_.c_str());
  error_code ignored;
  fresh.set_verify_callback(ssl::host_name_verification(host_), ignored);
  if (session_) SSL_set_session(native, session_.get());
}

std::string tls_client::distrust(stream& refused, const error_code& error) {
  const bool untrusted =
      error.category() == boost::asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  if (!untrusted) return {};
  const long verdict = SSL_get_verify_result(refused.native_handle());
  return verdict == X509_V_OK ? "it is for another host" : X509_verify_cert_error_string(verdict);
}

}  // namespace sluice
