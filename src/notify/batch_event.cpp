#include "notify/batch_event.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "json/text.hpp"
#include "notify/signature.hpp"

namespace sluice::notify {
namespace {

using namespace std::chrono_literals;

// https://github.com/standard-webhooks/standard-webhooks, "Deliverability and reliability".
constexpr std::array<std::chrono::seconds, 9> delivery_pauses{5s,  5min, 30min, 2h, 5h,
                                                              10h, 14h,  20h,   24h};

constexpr int gone = 410;

}  // namespace

message compose(const std::string& url, const std::string& secret, const batch_event& event,
                double unix_now) {
  const auto seconds = static_cast<std::int64_t>(std::floor(unix_now));
  // A batch ends only once, so its id also makes the event's id unique.
  const std::string id = "evt_" + event.batch;
  message made{url, {}, {}};
  made.body = fmt::format(
      R"({{"id":{},"object":"event","created_at":{},"type":"batch.{}","data":{{"id":{}}}}})",
      json_quote(id), event.ended_at, event.status, json_quote(event.batch));
  made.headers = {{"webhook-id", id}, {"webhook-timestamp", std::to_string(seconds)}};
  if (const auto key = standard_key(secret)) {
    made.headers.emplace_back("webhook-signature",
                              standard_signature(*key, id, seconds, made.body));
  }
  return made;
}

std::optional<std::chrono::seconds> event_pause_after(unsigned tries) {
  if (tries == 0 || tries > delivery_pauses.size()) return std::nullopt;
  return delivery_pauses[tries - 1];
}

bool ends_tries(int http_status) noexcept {
  return http_status == gone;
}

}  // namespace sluice::notify
