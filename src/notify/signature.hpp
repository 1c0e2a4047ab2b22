#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::notify {

/// The signatures of webhooks. Pure; safe to call from any thread.

std::string base64(std::string_view bytes);
/// Decodes base64; nullopt: the text is not base64.
std::optional<std::string> from_base64(std::string_view text);
std::string hmac_sha256(std::string_view key, std::string_view text);

/// The key in a secret of Standard Webhooks: base64, with or without `whsec_` before it. nullopt:
/// the secret has another format.
std::optional<std::string> standard_key(std::string_view secret);

/// The value of `webhook-signature` (https://www.standardwebhooks.com): version 1, HMAC-SHA256 over
/// id, time and body.
std::string standard_signature(std::string_view key, std::string_view id, std::int64_t unix_time,
                               std::string_view body);

/// `sign` in the body of a message to a Feishu robot; the time is in seconds.
std::string feishu_signature(std::string_view secret, std::int64_t unix_time);
/// `sign` in the address of a DingTalk robot, before it is percent-encoded; the time is in
/// milliseconds.
std::string dingtalk_signature(std::string_view secret, std::int64_t unix_ms);

}  // namespace sluice::notify
