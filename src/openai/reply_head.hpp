#pragma once

#include <map>
#include <string>

#include "base/header_fields.hpp"

namespace sluice::openai {

/// Header fields by their names in lower case.
using hint_fields = std::map<std::string, std::string, std::less<>>;

/// What the head of a response says that decides something.
struct reply_head {
  int status = 0;
  std::string content_type;
  std::string request_id;  ///< x-request-id, or x-oneapi-request-id
  std::string location;    ///< of a redirect
  hint_fields hints;       ///< of a refusal: those that is_retry_hint (retry_hint.hpp) names
};

/// Picks it from all that came. Of a field that came twice, the last one counts.
reply_head read_head(int status, const header_fields& fields);

/// Whether a status says that the request was served.
constexpr bool is_success(int status) noexcept {
  return status >= 200 && status < 300;
}

}  // namespace sluice::openai
