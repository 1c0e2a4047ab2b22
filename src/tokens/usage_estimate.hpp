#pragma once

#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// What a reply has used, as counted here: for relays that do not say. The prompt of the request,
/// and of the reply what every choice shows, are counted with the vocabulary of the model that the
/// job asks for. It is near what the model's maker would bill for a chat of text, and too little
/// for a model that reasons out of sight or asked its tools. Nothing where the vocabulary is not
/// known: the count would be a guess, and no sum of money should rest on one. `reply` is valid
/// JSON. Pure.
std::optional<token_usage> estimate_usage(const request& asked, std::string_view reply);

}  // namespace sluice
