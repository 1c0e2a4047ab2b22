// Which attempts the relay lets fail, and how. Pure and seeded: the fault of an attempt depends
// only on the request and the number of the attempt. So a run gets the same faults in any order of
// its requests.
//
// Attempts with the same Idempotency-Key belong to one request. Keys differ from run to run, so
// faults are not drawn from them. If several requests have equal bodies, the first key that arrives
// gets the first sequence of faults of this body, the second key the second one. The order of
// arrival decides which request gets which sequence, but not which sequences there are.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sluice::simulator {

enum class fault_kind : std::uint8_t {
  none,
  refused_429,       ///< "429": overloaded, without a hint when to retry
  refused_429_hint,  ///< "429-hint": overloaded, with Retry-After
  error_500,         ///< "500": a JSON error
  error_502,         ///< "502": the HTML page of a gateway
  reset,             ///< "reset": a reset before the first byte of the reply; not billed
  reset_late,        ///< "reset-late": the same, but after the relay has billed the call
  stall,             ///< "stall": a head and some bytes, then silence; billed
  cut,               ///< "cut": the reply stops in the middle; billed
  error_in_200,      ///< "error-in-200": status 200, with an error in the body or the stream
  html_200,          ///< "html-200": status 200 with an HTML page instead of an answer
  no_usage,          ///< "no-usage": a good answer without usage
  ragged,            ///< "ragged": a good answer in pieces that split lines and characters

  // The kinds below are in no profile; they happen only if named on the command line.

  // Refusals, not billed.
  refused_429_reset,  ///< "429-reset": overloaded; only x-ratelimit-* headers say until when
  no_channel,         ///< "no-channel": 503, no upstream for the model
  no_price,           ///< "no-price": 500, the relay has no price for the model
  model_denied,       ///< "model-denied": 403, the key may not use the model
  key_spent,          ///< "key-spent": 401, the key's quota is used up
  quota,              ///< "quota": 403 or 429, the quota is used up, with one of several codes
  quota_in_words,     ///< "quota-in-words": the same in the words and statuses of other vendors
  no_model,           ///< "no-model": 404 that names the model, its endpoint or its deployment
  too_large,          ///< "too-large": 429 for a request that is too large to ever succeed
  tier_full,          ///< "tier-full": 498 or 429, no capacity in the service tier
  no_stream,          ///< "no-stream": 500 for a streamed call; other calls are answered

  // No reply, billed.
  hang,  ///< "hang": no byte, not even of the head; the connection stays open

  // Broken streams, billed. A call without a stream gets an error in a 200 instead.
  error_mid_stream,  ///< "error-mid-stream": an error in the middle, in one of several forms
  no_finish,         ///< "no-finish": a stream with [DONE] but without finish reasons
  broken_off,        ///< "broken-off": finish reasons that mean that the model did not finish

  // Good answers in an unusual form. A kind that does not fit a reply changes nothing.
  filtered,         ///< "filtered": 400 with a completion that a content filter ended
  json_for_stream,  ///< "json-for-stream": a whole body although a stream was requested
  stream_for_json,  ///< "stream-for-json": a stream although none was requested
  crlf,             ///< "crlf": the lines of the stream end with CRLF
  cr,               ///< "cr": the lines of the stream end with CR
  keep_alives,      ///< "keep-alives": comments and events without data between the events
  no_done,          ///< "no-done": no [DONE]
  held_open,        ///< "held-open": the stream is complete, but the connection stays open
  early_head,       ///< "early-head": the head comes at once, and the body after the usual time
  usage_on_last,    ///< "usage-on-last": usage in the chunk of the last finish reason
  usage_on_every,   ///< "usage-on-every": usage in every chunk; only the last one is right
  usage_dialect,    ///< "usage-dialect": the same usage in the format of another vendor
  content_parts,    ///< "content-parts": some pieces of the content come as lists of parts
  null_finish,      ///< "null-finish": the string "null" instead of a null finish reason
  malformed,  ///< "malformed": where JSON is requested, an answer that is not what was asked for
};
inline constexpr auto fault_kinds = static_cast<std::size_t>(fault_kind::malformed) + 1;

/// Whether the reply is still a complete, good one.
constexpr bool is_good_reply(fault_kind kind) {
  return kind == fault_kind::none || kind == fault_kind::no_usage || kind == fault_kind::ragged ||
         kind >= fault_kind::filtered;
}

/// The kind's name in a profile; "none" for `none`.
std::string_view name_of(fault_kind kind);

struct fault_profile {
  /// The probability of each kind; the sum is at most 1. The entry of `none` is not used.
  std::array<double, fault_kinds> probability{};
  /// After this number of faults in a row the next attempt of a request succeeds, so that a request
  /// with five attempts gets through. 0: no such rule.
  int longest_run = 0;

  bool any() const;
};

/// Reads a profile: `none`, `clean`, `slow` (no faults), `faulty` (the usual faults), or a list
/// `kind=probability,…`. Throws std::invalid_argument with a message for the user.
fault_profile parse_fault_profile(std::string_view text);

/// The fault of an attempt (numbered from 1) of a request. `digest` includes the relay's seed.
fault_kind draw_fault(const fault_profile& profile, std::uint64_t digest, int attempt);

/// Counts the attempts of each request and draws their faults. Not thread safe.
class fault_plan {
 public:
  explicit fault_plan(const fault_profile& profile) : profile_(profile) {}

  /// The fault of the next attempt of a request. Without a key, requests with the same body count
  /// as one.
  fault_kind next(std::uint64_t digest, std::string_view key);

 private:
  struct request_record {
    std::uint64_t seed = 0;  ///< the digest; changed if another key had the same digest before
    int attempts = 0;
  };

  fault_profile profile_;
  std::unordered_map<std::uint64_t, request_record> requests_;  // by digest and key
  std::unordered_map<std::uint64_t, std::uint64_t> keys_;       // number of keys by digest
};

}  // namespace sluice::simulator
