#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "sluice/endpoint.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// One request of a job, ready to send.
struct request {
  /// The value of `choices` for this number and every larger one.
  static constexpr unsigned most_choices = std::numeric_limits<unsigned>::max();

  std::size_t job = 0;     ///< index of its job in the run
  std::uint64_t line = 0;  ///< 1-based line of the job file
  /// The line's custom_id (a number is stored as text); "line-N" if it has none. A lone surrogate
  /// is stored as WTF-8.
  std::string custom_id;
  endpoint target = endpoint::chat_completions;
  std::string model;      ///< the requested model; the price depends on it
  std::string body;       ///< the bytes to send
  std::string digest;     ///< 32 hex digits: endpoint and body without the added stream fields
  unsigned choices = 1;   ///< `n` of the body times its number of prompts
  bool streamed = false;  ///< the body asks for a stream
  /// Number of bytes before the last brace of `body` that were added to ask for a stream; 0: none.
  std::uint32_t stream_fields = 0;
  std::uint32_t attempts = 0;          ///< attempts of earlier runs
  std::uint32_t settled_attempts = 0;  ///< of these: counted in the request's last stored line
  std::uint32_t rejections = 0;        ///< replies that were rejected since its last stored line
  usd most;                            ///< with a budget: the highest cost of one attempt
  usd most_for_prompt;                 ///< the part of `most` that does not depend on the reply
  /// The reply tokens that `most` pays for, over all billed replies.
  std::int64_t most_reply_tokens = 0;
  std::int64_t billed_replies = 1;  ///< number of billed replies that share `most_reply_tokens`
  bool model_in_doubt = false;      ///< with a budget: the body names several models
};

}  // namespace sluice
