#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::server {

/// The header that carries the id of a request. The id is also in the access log.
inline constexpr std::string_view request_id_field = "X-Request-Id";

/// Returns the id of a request. It is the client's own id if that consists of up to 128 letters,
/// digits and -_.:/+=@, so that it is safe in a header and in a log. Otherwise it is a new id.
std::string request_id_of(std::optional<std::string_view> given);

}  // namespace sluice::server
