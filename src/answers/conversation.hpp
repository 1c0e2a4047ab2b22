#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sluice/endpoint.hpp"

namespace sluice::answers {

/// The body of a request with one more turn: the assistant's message `said` and the user's message
/// `answer`. If `said` is empty, only the user's message is added. The rest of the body is not
/// changed. nullopt: the endpoint has no conversation, or the body has none that can be continued.
/// `body` is valid JSON. Pure.
std::optional<std::string> with_turn(endpoint target, std::string_view body, std::string_view said,
                                     std::string_view answer);

}  // namespace sluice::answers
