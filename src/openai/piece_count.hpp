#pragma once

#include <cstdint>

namespace sluice::openai {

/// The number of stream pieces that contained a part of the reply. An empty piece, like the one
/// with the role, does not count.
struct piece_count {
  std::uint64_t any = 0;        ///< content, reasoning, refusal, or a tool call
  std::uint64_t content = 0;    ///< only content
  std::uint64_t reasoning = 0;  ///< only reasoning
};

}  // namespace sluice::openai
