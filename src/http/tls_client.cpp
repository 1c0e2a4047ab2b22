#include "http/tls_client.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <ctime>
#include <string_view>
#include <utility>

#include "base/printable.hpp"

namespace sluice {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

// Index of the pointer from an SSL context to its owner. Asio uses OpenSSL's default app data.
int owner_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

/// The names and addresses in a certificate, for display.
std::string names_in(X509* certificate) {
  constexpr std::size_t most = 5;
  constexpr std::size_t v4 = 4;
  constexpr std::size_t v6 = 16;
  struct deleter {
    void operator()(GENERAL_NAMES* names) const noexcept { GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<GENERAL_NAMES, deleter> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string list;
  std::size_t count = 0;
  const auto add = [&](std::string_view name) {
    if (++count <= most) list.append(list.empty() ? "" : ", ").append(name);
  };
  const int all = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < all; ++i) {
    const GENERAL_NAME* one = sk_GENERAL_NAME_value(names.get(), i);
    if (one->type != GEN_DNS && one->type != GEN_IPADD) continue;
    const ASN1_STRING* value = one->type == GEN_DNS ? one->d.dNSName : one->d.iPAddress;
    const unsigned char* bytes = ASN1_STRING_get0_data(value);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
    if (one->type == GEN_DNS) {
      add(printable_text({reinterpret_cast<const char*>(bytes), std::min<std::size_t>(size, 255)}));
    } else if (size == v4) {
      boost::asio::ip::address_v4::bytes_type address;
      std::copy_n(bytes, v4, address.begin());
      add(boost::asio::ip::address_v4(address).to_string());
    } else if (size == v6) {
      boost::asio::ip::address_v6::bytes_type address;
      std::copy_n(bytes, v6, address.begin());
      add(boost::asio::ip::address_v6(address).to_string());
    }
  }
  if (count > most) list += fmt::format(" and {} more", count - most);
  if (count > 0) return list;
  // Old certificates have the host only in the subject. It is not accepted any more.
  std::array<char, 256> common{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common.data(),
                            static_cast<int>(common.size()));
  return common.front() == '\0' ? "no host" : printable_text(common.data());
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
  constexpr std::string_view http_1_1 = "\x08http/1.1";  // else some servers would use HTTP/2
  SSL_CTX_set_alpn_protos(native, reinterpret_cast<const unsigned char*>(http_1_1.data()),
                          static_cast<unsigned>(http_1_1.size()));
  SSL_CTX_set_ex_data(native, owner_index(), this);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(native, &tls_client::keep_session);
}

tls_client::~tls_client() {
  SSL_CTX_set_ex_data(context_.native_handle(), owner_index(), nullptr);
}

// The relay may send session tickets at any time after the handshake; keeps the latest one.
int tls_client::keep_session(SSL* connection, SSL_SESSION* session) {
  void* const owner = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), owner_index());
  if (owner == nullptr) return 0;  // OpenSSL frees the session
  static_cast<tls_client*>(owner)->session_.reset(session);
  return 1;  // takes ownership of the session
}

void tls_client::prepare(stream& tls_stream, std::string& others) {
  SSL* native = tls_stream.native_handle();
  if (!is_address_) SSL_set_tlsext_host_name(native, host_.c_str());
  error_code ignored;
  tls_stream.set_verify_callback(
      [check = ssl::host_name_verification(host_), &others](bool trusted,
                                                            ssl::verify_context& verification) {
        const bool good = check(trusted, verification);
        if (trusted && !good) {
          others = names_in(X509_STORE_CTX_get_current_cert(verification.native_handle()));
          X509_STORE_CTX_set_error(verification.native_handle(), X509_V_ERR_HOSTNAME_MISMATCH);
        }
        return good;
      },
      ignored);
  if (session_) SSL_set_session(native, session_.get());
}

bool tls_client::is_no_tls(const error_code& error) {
  if (error.category() != boost::asio::error::get_ssl_category()) return false;
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG;
}

std::string tls_client::certificate_error(stream& tls_stream, const error_code& error,
                                          const std::string& others) const {
  const bool untrusted =
      error.category() == boost::asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  if (!untrusted) return {};
  const long verdict = SSL_get_verify_result(tls_stream.native_handle());
  if (verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID) {
    // OpenSSL compares with the same clock.
    return fmt::format("{}; the clock of this computer shows {:%F %R} UTC",
                       X509_verify_cert_error_string(verdict), fmt::gmtime(std::time(nullptr)));
  }
  if (verdict != X509_V_ERR_HOSTNAME_MISMATCH) return X509_verify_cert_error_string(verdict);
  return fmt::format("it is not for {}, but for {}", host_, others);
}

}  // namespace sluice
