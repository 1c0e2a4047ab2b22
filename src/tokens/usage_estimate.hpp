#pragma once

#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// Estimates the usage of a reply, for relays that do not report it. Counts the prompt and the
/// visible text of all choices with the vocabulary of the requested model. For text chats it is
/// close to the vendor's bill; it is too low for models that use hidden reasoning tokens or
/// built-in tools. Nothing if the vocabulary is unknown: costs must not be based on a guess.
/// `reply` is valid JSON. Pure.
std::optional<token_usage> estimate_usage(const request& request, std::string_view reply);

}  // namespace sluice
