#include "sluice/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>

#include "base_url.hpp"
#include "proxy.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

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

}  // namespace

void config::check() const {
  base_url::parse(relay.base_url);
  if (!relay.proxy.empty()) proxy::parse(relay.proxy, "the proxy");
  for (const auto& [name, value] : relay.headers) check_header(name, value);
  for (const char c : relay.api_key) {
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) > '~') {
      refuse(
          "the API key holds a space or a character that no key has; check where it was copied "
          "from");
    }
  }
  require_positive(relay.connection_age, "the age of a connection");
  require_positive(relay.connect_timeout, "--connect-timeout");
  require_positive(relay.first_byte_timeout, "--first-byte-timeout");
  require_positive(relay.idle_timeout, "--idle-timeout");
  require_positive(relay.total_timeout, "--timeout");
  if (job.override_model && job.model.empty()) {
    refuse("--override-model puts --model in the place of every line's; name it with --model");
  }
  if (pace.window_margin < duration::zero()) refuse("--window-margin cannot be negative");
  if (pace.max_attempts == 0) refuse("--max-attempts must be at least 1");
}

}  // namespace sluice
