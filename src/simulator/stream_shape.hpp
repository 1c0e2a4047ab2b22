// The different forms in which relays write the same stream.
#pragma once

#include <string>
#include <string_view>

#include "simulator/fault_plan.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/random.hpp"
#include "simulator/reply.hpp"

namespace sluice::simulator {

/// The error message for a failed upstream.
inline constexpr std::string_view upstream_down = "upstream error: the model stopped answering";

/// The stream in the form that the fault requires. Unchanged if the fault has no form, or if the
/// form does not fit this stream.
event_stream reshaped(event_stream plain, fault_kind shape, random& random);

/// The text that a relay writes into a stream when its upstream has failed: an event in one of many
/// forms, or text that is not an event.
std::string stream_error(endpoint to, random& random);

}  // namespace sluice::simulator
