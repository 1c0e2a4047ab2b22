#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sluice/endpoint.hpp"

namespace sluice::answers {

/// The body of a request with a turn more: what the assistant said, and what the user says to it.
/// If `said` is empty, only the user's message is added. The rest of the body keeps its bytes.
/// Nothing: the endpoint has no conversation, or the body none that can go on. `body` is valid
/// JSON. Pure.
std::optional<std::string> with_turn(endpoint target, std::string_view body, std::string_view said,
                                     std::string_view answer);

}  // namespace sluice::answers
