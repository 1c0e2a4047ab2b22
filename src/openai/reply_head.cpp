#include "openai/reply_head.hpp"

#include <string_view>

#include "base/ascii.hpp"
#include "openai/retry_hint.hpp"

namespace sluice::openai {
namespace {}  // namespace

reply_head read_head(int status, const header_fields& fields) {
  reply_head head;
  head.status = status;
  const bool refused = !is_success(status);
  for (const auto [name, value] : fields) {
    if (same_name(name, "Content-Type")) {
      head.content_type = value;
    } else if (same_name(name, "Location")) {
      head.location = value;
    } else if (same_name(name, "x-request-id") ||
               (head.request_id.empty() && same_name(name, "x-oneapi-request-id"))) {
      head.request_id = value;
    } else if (refused && same_name(name, "Date")) {
      head.date = http_date(value);
    } else if (refused && is_retry_hint(name)) {
      head.hints[lower_case(name)] = value;
    }
  }
  return head;
}

}  // namespace sluice::openai
