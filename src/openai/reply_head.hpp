#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/header_fields.hpp"

namespace sluice::openai {

/// Header fields; the keys are names in lower case.
using hint_fields = std::map<std::string, std::string, std::less<>>;

/// The parts of a response head that decide something.
struct reply_head {
  int status = 0;
  std::string content_type;
  std::string request_id;      ///< x-request-id, or x-oneapi-request-id
  std::string location;        ///< target of a redirect
  std::optional<double> date;  ///< of an error: Date, the server's clock, as Unix time
  hint_fields hints;           ///< headers of an error that is_retry_hint (retry_hint.hpp) accepts
};

/// Reads them from all header fields. If a field came twice, the last one counts.
reply_head read_head(int status, const header_fields& fields);

/// Whether a status means success.
constexpr bool is_success(int status) noexcept {
  return status >= 200 && status < 300;
}

}  // namespace sluice::openai
