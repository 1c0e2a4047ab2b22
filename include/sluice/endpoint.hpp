#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// The endpoints a job line may name.
enum class endpoint : std::uint8_t { chat_completions, completions, embeddings, responses };

/// The path as written in a job line, including `/v1`.
constexpr std::string_view to_string(endpoint target) noexcept {
  switch (target) {
    case endpoint::chat_completions:
      return "/v1/chat/completions";
    case endpoint::completions:
      return "/v1/completions";
    case endpoint::embeddings:
      return "/v1/embeddings";
    case endpoint::responses:
      return "/v1/responses";
  }
  return "";
}

}  // namespace sluice
