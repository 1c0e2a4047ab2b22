#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "openai/error_body.hpp"

namespace sluice::openai {

/// What an error says about the account, the model or the request.
enum class error_meaning : std::uint8_t {
  spent,          ///< the balance, quota, plan or budget behind the key is used up
  barred,         ///< the key, its account or the place it is used from is refused
  throttled,      ///< over a rate limit
  overloaded,     ///< the server has too much to do
  model_missing,  ///< there is no such model, or not for this key
  model_out,      ///< the model exists, but no upstream serves it now
  tier_full,      ///< the requested service tier has no capacity now
  too_large,      ///< this request is larger than any allowed request
  at_fault,       ///< the request is refused for its content
  wrong_path,     ///< the URL does not belong to this API
  broken_off,     ///< for a finish reason: the reply is not complete
};

/// One row of the table: one error of one vendor.
struct vendor_error {
  enum class place : std::uint8_t {
    status,         ///< only the status is compared
    code,           ///< one of the error's codes is the text
    in_code,        ///< one of the error's codes contains the text
    start,          ///< a message begins with the text
    words,          ///< a message contains the text; meaning_of() says when this is not enough
    mention,        ///< a message contains the text, even in quotation marks or outside JSON
    finish_reason,  ///< the finish reason of a choice is the text
  };
  std::string_view vendor;
  place where = place::code;
  std::string_view text;  ///< compared ignoring case
  error_meaning meaning = error_meaning::spent;
  int status = 0;              ///< only with this status; 4 or 5: with any 4xx or 5xx; 0: with any
  std::string_view source;     ///< where the vendor, or a user of it, documents this
  std::string_view also = {};  ///< for `mention`: the message must also contain this
};

/// The whole table. Earlier rows have priority: codes before messages, and messages of a single
/// vendor before those of several.
std::span<const vendor_error> vendor_errors();

/// The meaning of an error; nullopt: not known. The first row that matches decides.
///
/// A message is weaker evidence than a code, because it may repeat a part of the prompt. So
/// messages count only in a JSON object and outside quotation marks. If the status says that the
/// request is refused for its content (400, 404, 413, 422, or an error under a 2xx), the message
/// must begin with the text.
///
/// Pure, and thread safe.
std::optional<error_meaning> meaning_of(const error_body& error, int status);

/// Whether a finish reason means that the reply broke off: the model was not done, and the same
/// request may succeed next time. Compared ignoring case, and with `-` as `_`. Pure.
bool is_broken_off(std::string_view finish_reason);

}  // namespace sluice::openai
