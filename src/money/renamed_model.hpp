#pragma once

#include <string>

#include "sluice/config.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// The name that the relay has for the request's model. Pure.
const std::string& model_at(const relay_member& relay, const request& asked);

/// The request's body with the name that the relay has for its model; empty where that is the
/// request's own. The name changes in every place where it stands: parsers differ in which of two
/// members they take. Pure.
std::string renamed_body(const relay_member& relay, const request& asked);

}  // namespace sluice
