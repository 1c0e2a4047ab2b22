#include "server/page_parameters.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <system_error>

namespace sluice::server {

std::variant<store::page_request, api_error> page_parameters(const api_call& call,
                                                             std::size_t usual, std::size_t most) {
  store::page_request wanted{usual, call.parameter("after").value_or("")};
  const auto text = call.parameter("limit");
  if (!text) return wanted;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, wanted.limit);
  if (error != std::errc{} || stop != end || wanted.limit < 1 || wanted.limit > most) {
    return invalid_parameter(
        "limit", fmt::format("Invalid 'limit': it must be a whole number from 1 to {}.", most));
  }
  return wanted;
}

}  // namespace sluice::server
