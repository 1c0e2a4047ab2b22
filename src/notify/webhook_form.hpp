#pragma once

#include <cstdint>

namespace sluice::notify {

/// The format of a webhook's body: the totals as JSON, signed according to Standard Webhooks, or
/// the text message that the chat robots of these products accept.
enum class webhook_form : std::uint8_t { standard, feishu, dingtalk, wecom, slack };

}  // namespace sluice::notify
