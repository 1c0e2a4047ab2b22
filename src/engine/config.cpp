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

constexpr duration longest_margin = std::chrono::minutes{1};  // that a limit_window has room for

void require_positive(duration value, std::string_view flag) {
  if (value <= duration::zero())
    refuse(fmt::format("{} must be longer than nothing; write it like 10s", flag));
}

// Headers on which the exchange itself hangs: a second one, or another value, would break it.
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

// A header goes onto the wire as it is: it must not end its line, and the engine's own stay its
// own.
void check_header(const std::string& name, const std::string& value) {
  constexpr std::string_view token =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (name.empty() || name.find_first_not_of(token) != std::string::npos) {
    refuse(fmt::format("--header '{}': is no header name; write it like 'X-Team: blue'", name));
  }
  if (std::any_of(own_headers.begin(), own_headers.end(),
                  [&](std::string_view own) { return boost::algorithm::iequals(name, own); })) {
    refuse(fmt::format("--header '{}': the engine sets that header itself; leave it out", name));
  }
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < ' ' && c != '\t') {
      refuse(fmt::format("--header '{}': its value holds a control character", name));
    }
  }
}

// `whose`: of a pool's member, a name and a colon.
void check_way(const relay_options& relay, const std::string& whose) {
  base_url::parse(relay.base_url);
  if (!relay.proxy.empty()) proxy::parse(relay.proxy, "the proxy");
  for (const char c : relay.api_key) {
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) > '~') {
      refuse(whose +
             "the API key holds a space or a character that no key has; check where it was copied "
             "from");
    }
  }
}

void check_pool(const std::vector<relay_member>& pool) {
  std::set<std::string_view> names;
  for (const auto& member : pool) {
    if (member.name.empty())
      refuse("[[relay]]: one of them has no name; give each a name = \"...\"");
    const std::string whose = fmt::format("[[relay]] {}: ", member.name);
    if (!names.insert(member.name).second) {
      refuse(whose + "another has the same name; give each its own");
    }
    if (member.relay.base_url.empty()) {
      refuse(whose + "it has no base_url; write it like https://relay.example/v1");
    }
    if (member.weight == 0) {
      refuse(whose + "a weight of 0 would send it nothing; leave it out, or give it 1 or more");
    }
    check_way(member.relay, whose);
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
    refuse("--override-model puts --model in the place of every line's; name it with --model");
  }
  if (pace.window_margin < duration::zero()) refuse("--window-margin cannot be negative");
  if (pace.window_margin > longest_margin) refuse("--window-margin can be a minute at most");
  if (pace.max_attempts == 0) refuse("--max-attempts must be at least 1");
}

}  // namespace sluice
