#pragma once

#include <string>

#include "sluice/config.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// The relay's name for the request's model. Pure.
const std::string& model_at(const relay_member& relay, const request& asked);

/// The request's body with the relay's name for its model; empty if the relay uses the same name.
/// The name is replaced in every `model` member, because parsers differ in which of two members
/// they use. Pure.
std::string renamed_body(const relay_member& relay, const request& asked);

}  // namespace sluice
