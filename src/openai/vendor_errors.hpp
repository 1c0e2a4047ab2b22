#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "openai/error_body.hpp"

namespace sluice::openai {

/// What an error says of the account, the model or the request, in whatever words.
enum class error_meaning : std::uint8_t {
  spent,          ///< the balance, quota, plan or budget behind the key is used up
  barred,         ///< the key, its account or the place it is used from is refused
  throttled,      ///< over a rate limit
  overloaded,     ///< the server has too much to do
  model_missing,  ///< there is no such model, or not for this key
  model_out,      ///< the model exists, and nothing serves it now
  tier_full,      ///< the service tier that was asked for has no capacity now
  too_large,      ///< this request is larger than any that can pass
  at_fault,       ///< the request is refused for what it holds
  wrong_path,     ///< the URL is none of this API's
  broken_off,     ///< of a finish reason: the reply is not whole
};

/// One row of the table: how one vendor says one thing.
struct vendor_error {
  enum class place : std::uint8_t {
    status,         ///< the status alone
    code,           ///< one of the error's codes is the text
    in_code,        ///< one of the error's codes holds the text
    start,          ///< a message begins with the text
    words,          ///< a message holds the text; see meaning_of() for where that is not enough
    mention,        ///< a message holds the text anywhere
    finish_reason,  ///< the finish reason of a choice is the text
  };
  std::string_view vendor;
  place where = place::code;
  std::string_view text;  ///< compared without regard to case
  error_meaning meaning = error_meaning::spent;
  int status = 0;  ///< with this status only; 4 or 5: with any of that hundred; 0: with any
  std::string_view source;     ///< where the vendor, or a user of it, says so
  std::string_view also = {};  ///< of a mention: the message holds this, too
};

/// The whole table. What stands first is believed first: codes before words, and words that only
/// one vendor uses before those of many.
std::span<const vendor_error> vendor_errors();

/// What an error means, or nothing that is known. The first row that matches decides.
///
/// Words are a weaker proof than codes, because a message may repeat a part of the prompt. So they
/// count only in a JSON object and outside quotation marks; and where the status says that the
/// request is refused for its content (400, 404, 413, 422, or an error under a 2xx), only where
/// the message begins with them.
///
/// Pure, and thread safe.
std::optional<error_meaning> meaning_of(const error_body& error, int status);

/// Whether a finish reason says that the reply broke off: the model was not done, and the same
/// request may end well the next time. Compared without regard to case, `-` as `_`. Pure.
bool is_broken_off(std::string_view finish_reason);

}  // namespace sluice::openai
