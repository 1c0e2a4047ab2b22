// Which attempts the relay spoils, and how. Pure and seeded: the fate of an attempt follows from
// the request and the attempt's number alone, so a run meets the same faults in whatever order its
// requests arrive.
//
// The attempts of a request are those of its Idempotency-Key. The bytes of keys differ from run to
// run, so nothing is drawn from them: of requests with equal bodies the first key to come has the
// first fate of that body, the second key the second. Which of the equals meets which fate is a
// matter of order; what they meet all together is not.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sluice::simulator {

enum class fault_kind : std::uint8_t {
  none,
  refused_429,       ///< "429": overloaded, no word on when to come back
  refused_429_hint,  ///< "429-hint": overloaded, with Retry-After
  error_500,         ///< "500": a JSON error
  error_502,         ///< "502": a gateway's HTML page
  reset,             ///< "reset": the connection is reset before a byte of the reply, unbilled
  reset_late,        ///< "reset-late": the same, after the relay has billed the call
  stall,             ///< "stall": a head and some bytes, then silence; billed
  cut,               ///< "cut": the reply ends in its middle; billed
  error_in_200,      ///< "error-in-200": status 200, and an error in the body or the stream
  html_200,          ///< "html-200": status 200 and a page instead of an answer
  no_usage,          ///< "no-usage": a good answer that doesn't say what it used
  ragged,            ///< "ragged": a good answer in pieces that split lines and characters

  // What follows is in no profile: each is there to be asked for by its name.

  // Refusals, unbilled.
  refused_429_reset,  ///< "429-reset": overloaded, and only x-ratelimit-* say until when
  no_channel,         ///< "no-channel": 503, no upstream for the model
  no_price,           ///< "no-price": 500, the relay has no price for the model
  model_denied,       ///< "model-denied": 403, the model is not for this key
  key_spent,          ///< "key-spent": 401, the key's quota is spent
  quota,              ///< "quota": 403 or 429, the quota is spent, by one code or another
  quota_in_words,     ///< "quota-in-words": the same as other vendors tell it, at other statuses
  no_model,           ///< "no-model": 404 that names the model, its endpoint or its deployment
  too_large,          ///< "too-large": 429 for a request that is too large to ever pass
  tier_full,          ///< "tier-full": 498 or 429, no capacity in the service tier
  no_stream,          ///< "no-stream": 500 to a call that is streamed; others are answered

  // Spoilt streams, billed; in place of an unstreamed reply an error in a 200.
  error_mid_stream,  ///< "error-mid-stream": an error in the middle, in one form or another
  no_finish,         ///< "no-finish": all but the finish reasons, and [DONE]
  broken_off,        ///< "broken-off": finish reasons that say that the model was not done

  // Good answers in a form of their own; one that a reply cannot take changes nothing.
  filtered,         ///< "filtered": 400 with a completion that a filter has ended
  json_for_stream,  ///< "json-for-stream": a whole body where a stream was asked for
  stream_for_json,  ///< "stream-for-json": a stream where none was
  crlf,             ///< "crlf": the stream's lines end with CRLF
  cr,               ///< "cr": and with CR
  keep_alives,      ///< "keep-alives": comments and events without data in between
  no_done,          ///< "no-done": no [DONE]
  held_open,        ///< "held-open": the stream is whole, and the connection stays open
  usage_on_last,    ///< "usage-on-last": usage beside the last finish reason
  usage_on_every,   ///< "usage-on-every": usage on every chunk, the last one right
  usage_dialect,    ///< "usage-dialect": the same usage as one vendor or another counts it
  content_parts,    ///< "content-parts": some pieces of the content come as lists of parts
  null_finish,      ///< "null-finish": "null" as a string for the finish reason that is not there
};
inline constexpr auto fault_kinds = static_cast<std::size_t>(fault_kind::null_finish) + 1;

/// Whether the reply is a good one all the same.
constexpr bool leaves_good(fault_kind kind) {
  return kind == fault_kind::none || kind == fault_kind::no_usage || kind == fault_kind::ragged ||
         kind >= fault_kind::filtered;
}

/// The name a profile uses; "none" for none.
std::string_view name_of(fault_kind kind);

struct fault_profile {
  /// Of each kind; the sum is at most 1. That of `none` is what is left and not stored.
  std::array<double, fault_kinds> probability{};
  /// After so many faults in a row a request's next attempt is spared, so that one with five
  /// attempts gets through; 0: never spared.
  int longest_run = 0;

  bool any() const;
};

/// Reads a profile: `none`, `clean`, `slow` (no faults), `faulty` (some of what is usual), or a
/// list `kind=probability,…`. Throws std::invalid_argument that names what is wrong.
fault_profile parse_fault_profile(std::string_view text);

/// The fault that strikes the attempt (numbered from 1) of the request, whose digest holds the
/// seed.
fault_kind draw_fault(const fault_profile& profile, std::uint64_t digest, int attempt);

/// Counts the attempts of every request.
class fault_plan {
 public:
  explicit fault_plan(const fault_profile& profile) : profile_(profile) {}

  /// The fault that strikes the next attempt of a request; without a key (empty), of its body.
  fault_kind next(std::uint64_t digest, std::string_view key);

 private:
  struct followed {
    std::uint64_t fate = 0;  ///< what is drawn from: the digest, but for the second of equals on
    int attempts = 0;
  };

  fault_profile profile_;
  std::unordered_map<std::uint64_t, followed> requests_;   // by digest and key
  std::unordered_map<std::uint64_t, std::uint64_t> keys_;  // how many have come with a digest
};

}  // namespace sluice::simulator
