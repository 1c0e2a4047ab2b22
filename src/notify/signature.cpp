#include "notify/signature.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

namespace sluice::notify {
namespace {

constexpr std::string_view standard_prefix = "whsec_";
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                       bytes_of(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  const std::size_t padding = text.size() - std::min(text.find_last_not_of('=') + 1, text.size());
  const bool plain =
      text.substr(0, text.size() - padding).find_first_not_of(alphabet) == std::string_view::npos;
  if (text.empty() || text.size() % 4 != 0 || padding > 2 || !plain) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                       bytes_of(text), static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(),
         digest.data(), &length);
  return {reinterpret_cast<const char*>(digest.data()), length};
}

std::optional<std::string> standard_key(std::string_view secret) {
  if (secret.starts_with(standard_prefix)) secret.remove_prefix(standard_prefix.size());
  return from_base64(secret);
}

std::string standard_signature(std::string_view key, std::string_view id, std::int64_t unix_time,
                               std::string_view body) {
  return "v1," + base64(hmac_sha256(key, fmt::format("{}.{}.{}", id, unix_time, body)));
}

// Feishu makes the secret a part of the key, and signs an empty text.
std::string feishu_signature(std::string_view secret, std::int64_t unix_time) {
  return base64(hmac_sha256(fmt::format("{}\n{}", unix_time, secret), {}));
}

std::string dingtalk_signature(std::string_view secret, std::int64_t unix_ms) {
  return base64(hmac_sha256(secret, fmt::format("{}\n{}", unix_ms, secret)));
}

}  // namespace sluice::notify
