#pragma once

#include <cstdint>

namespace sluice::notify {

/// What the body of a webhook looks like: the totals as JSON, signed as Standard Webhooks, or the
/// text message that the chat robots of these products take.
enum class webhook_form : std::uint8_t { standard, feishu, dingtalk, wecom, slack };

}  // namespace sluice::notify
