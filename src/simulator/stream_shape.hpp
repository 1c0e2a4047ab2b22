// The forms in which relays write one and the same stream.
#pragma once

#include <string>
#include <string_view>

#include "simulator/fault_plan.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/random.hpp"
#include "simulator/reply.hpp"

namespace sluice::simulator {

/// What is said of an upstream that has failed.
inline constexpr std::string_view upstream_down = "upstream error: the model stopped answering";

/// The stream in the shape that the fault stands for; as it is where the fault is of another kind,
/// or the stream has nothing that could take the shape.
event_stream reshaped(event_stream plain, fault_kind shape, random& random);

/// What a relay puts into a stream to say that its upstream has failed: an event in one of many
/// forms, or something that is no event.
std::string stream_error(endpoint to, random& random);

}  // namespace sluice::simulator
