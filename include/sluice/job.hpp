#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "sluice/endpoint.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// One request of a job, ready to be sent.
struct request {
  static constexpr unsigned most_choices = std::numeric_limits<unsigned>::max();  ///< or more

  std::size_t job = 0;     ///< index of its job in the run
  std::uint64_t line = 0;  ///< 1-based line of the job file
  /// Where the line has one; a number as its text; else "line-N". Lone surrogates stand in it as
  /// WTF-8 has them.
  std::string custom_id;
  endpoint target = endpoint::chat_completions;
  std::string model;      ///< as asked for; prices go by it
  std::string body;       ///< the bytes to send
  std::string digest;     ///< 32 hex digits: endpoint and body before the stream fields
  unsigned choices = 1;   ///< `n` of the body, for each of its prompts
  bool streamed = false;  ///< a streamed reply is asked for
  /// Bytes before the last brace of `body` that were added to ask for the stream; 0: the job's line
  /// asks for it itself, or nothing does.
  std::uint32_t stream_fields = 0;
  std::uint32_t attempts = 0;          ///< attempts that earlier runs spent on it
  std::uint32_t settled_attempts = 0;  ///< of those, the ones that its last line tells of
  usd most;                            ///< under a budget: the most that one attempt can cost
  bool model_in_doubt = false;         ///< under a budget: the body names several models
};

}  // namespace sluice
