#pragma once

#include <cstddef>
#include <variant>

#include "server/api.hpp"
#include "server/api_error.hpp"
#include "store/file_record.hpp"

namespace sluice::server {

/// How many batches a list has: if the client names no `limit`, and at most.
inline constexpr std::size_t usual_batches = 20;
inline constexpr std::size_t most_batches = 100;

/// Reads `limit` and `after` from the query of a list. Refuses a limit outside of 1 to `most`.
std::variant<store::page_request, api_error> page_parameters(const api_call& call,
                                                             std::size_t usual, std::size_t most);

}  // namespace sluice::server
