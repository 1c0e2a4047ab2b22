#pragma once

#include <cstdint>

namespace sluice::openai {

/// How much of a stream has told something of the reply. An empty piece, as a role comes with, is
/// none.
struct piece_count {
  std::uint64_t any = 0;        ///< content, reasoning, refusal, or a tool call
  std::uint64_t content = 0;    ///< content alone
  std::uint64_t reasoning = 0;  ///< reasoning alone
};

}  // namespace sluice::openai
