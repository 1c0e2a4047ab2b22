// The length limits of models. Refusals use the words of OpenAI and cost nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "simulator/inference_request.hpp"

namespace sluice::simulator {

/// The context and completion limits of all models. Immutable, so thread safe.
class model_limits {
 public:
  /// Reads the limits from a price table in JSON; throws std::runtime_error if it is malformed.
  explicit model_limits(std::string_view json);

  /// The refusal of a prompt, or of a `max_tokens`, that is too long for the model that serves the
  /// request. Embeddings and models without known limits are never refused.
  std::optional<api_error> refusal_of(const inference_request& request) const;

 private:
  struct window {
    std::uint64_t context = 0;
    std::uint64_t completion = 0;
  };

  std::map<std::string, window, std::less<>> windows_;
};

}  // namespace sluice::simulator
