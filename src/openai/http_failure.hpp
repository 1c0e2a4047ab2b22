#pragma once

#include <string>

#include "openai/reply_reader.hpp"
#include "sluice/error.hpp"

namespace sluice::openai {

/// The failure that an HTTP error status and its body mean: whose trouble it is, in the relay's
/// words, and when to come back. Judged by status and by `code`; by the message only where relays
/// give no code; never by `type`, which every relay fills as it likes, but for a spent quota or a
/// country that is not served.
failure http_failure(const response_head& head, std::string body, double now_unix);

}  // namespace sluice::openai
