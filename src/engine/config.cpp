#include "sluice/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <set>
#include <utility>

#include "base/refuse.hpp"
#include "http/base_url.hpp"
#include "http/proxy.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr duration longest_margin = std::chrono::minutes{1};  // limit_window::most_margin

void require_positive(duration value, std::string_view flag) {
  if (value <= duration::zero())
    refuse(fmt::format("{} must be longer than 0; write it like 10s", flag));
}

// Headers that the HTTP client sets itself. A second header of the same name, or another value,
// would break requests.
constexpr std::array<std::string_view, 13> own_headers{"accept",
                                                       "accept-encoding",
                                                       "connection",
                                                       "content-length",
                                                       "content-type",
                                                       "expect",
                                                       "host",
                                                       "idempotency-key",
                                                       "keep-alive",
                                                       "te",
                                                       "trailer",
                                                       "upgrade",
                                                       "transfer-encoding"};

// A header is sent as it is, so it must not contain a line break or replace a header of the client.
void check_header(const std::string& name, const std::string& value) {
  constexpr std::string_view token =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (name.empty() || name.find_first_not_of(token) != std::string::npos) {
    refuse(fmt::format("--header '{}': not a header name; write it like 'X-Team: blue'", name));
  }
  if (std::any_of(own_headers.begin(), own_headers.end(),
                  [&](std::string_view own) { return boost::algorithm::iequals(name, own); })) {
    refuse(fmt::format("--header '{}': sluice sets this header itself; remove the option", name));
  }
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < ' ' && c != '\t') {
      refuse(fmt::format("--header '{}': the value contains a control character; remove it", name));
    }
  }
}

// `owner`: prefix of messages about a pool member; otherwise empty.
void check_way(const relay_options& relay, const std::string& owner) {
  base_url::parse(relay.base_url);
  if (!relay.proxy.empty()) proxy::parse(relay.proxy, "the proxy");
  for (const char c : relay.api_key) {
    const bool printed =
        static_cast<unsigned char>(c) > ' ' && static_cast<unsigned char>(c) <= '~';
    if (!printed || c == '"' || c == '\'') {
      refuse(owner +
             "the API key contains a space, a quote or another character that is not allowed in a "
             "key; check how it was copied");
    }
  }
}

void check_pool(const std::vector<relay_member>& pool) {
  std::set<std::string_view> names;
  for (const auto& member : pool) {
    if (member.name.empty()) refuse("[[relay]]: one relay has no name; add name = \"...\" to each");
    const std::string owner = fmt::format("[[relay]] {}: ", member.name);
    if (!names.insert(member.name).second) {
      refuse(owner + "another relay has the same name; give each its own name");
    }
    if (member.relay.base_url.empty()) {
      refuse(owner + "base_url is missing; write it like https://relay.example/v1");
    }
    if (member.weight == 0) {
      refuse(owner + "weight is 0; set it to 1 or more, or remove the relay");
    }
    check_way(member.relay, owner);
  }
}

// Refuses a reserve that would leave nothing for batch work.
void check_reserve(const std::vector<relay_member>& members, const pace_options& pace) {
  const auto leaves_some = [&](unsigned limit, std::string_view name) {
    if (limit == 0 || pace.interactive_reserve < limit) return;
    refuse(fmt::format("--interactive-reserve {} leaves batch work nothing of {} {}; lower it",
                       pace.interactive_reserve, name, limit));
  };
  if (pace.interactive_reserve == 0) return;
  leaves_some(pace.concurrency, "--concurrency");
  for (const auto& member : members) {
    const auto& own = member.requests_per_minute;
    leaves_some(own.value_or(pace.requests_per_minute),
                own ? fmt::format("[[relay]] {}: rpm", member.name) : "--rpm");
  }
}

}  // namespace

std::vector<relay_member> config::relays() const {
  if (pool.empty()) return {{.name = {}, .relay = relay}};
  std::vector<relay_member> members = pool;
  for (auto& member : members) {
    relay_options own = relay;
    own.base_url = member.relay.base_url;
    own.proxy = member.relay.proxy;
    if (!member.relay.api_key.empty()) own.api_key = member.relay.api_key;
    member.relay = std::move(own);
  }
  return members;
}

void config::check_relays() const {
  if (pool.empty()) check_way(relay, "");
  check_pool(pool);
  for (const auto& [name, value] : relay.headers) check_header(name, value);
  require_positive(relay.connection_age, "the age of a connection");
  require_positive(relay.connect_timeout, "--connect-timeout");
  require_positive(relay.first_byte_timeout, "--first-byte-timeout");
  require_positive(relay.idle_timeout, "--idle-timeout");
  require_positive(relay.total_timeout, "--timeout");
}

void config::check() const {
  check_relays();
  if (job.override_model && job.model.empty()) {
    refuse("--override-model needs --model; add --model NAME");
  }
  if (job.tell_why && !job.expect) {
    refuse("--tell-why needs --expect; add --expect with what replies must look like");
  }
  if (pace.window_margin < duration::zero()) refuse("--window-margin cannot be negative");
  if (pace.window_margin > longest_margin) refuse("--window-margin can be at most 1m");
  check_reserve(relays(), pace);
  if (pace.max_attempts == 0) refuse("--max-attempts must be at least 1");
}

}  // namespace sluice
