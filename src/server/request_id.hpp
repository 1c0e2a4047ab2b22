#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::server {

/// The header that names a request in its answer, in the access log and at the client.
inline constexpr std::string_view request_id_field = "X-Request-Id";

/// The id of a request: the client's own if it is up to 128 letters, digits and -_.:/+=@, so that
/// it is safe in a header and in a log; otherwise a new one.
std::string request_id_of(std::optional<std::string_view> given);

}  // namespace sluice::server
