// What a model refuses as too long, in OpenAI's words; nothing is charged for a refusal.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "simulator/inference_request.hpp"

namespace sluice::simulator {

class model_limits {
 public:
  /// Reads the text of a price table, which tells them, too; throws std::runtime_error when it is
  /// not one.
  explicit model_limits(std::string_view json);

  /// The refusal of a prompt, or of a length asked for, that the model which serves the request
  /// does not take. Embeddings are never refused, nor is what goes to a model without known limits.
  std::optional<api_error> refusal_of(const inference_request& request) const;

 private:
  struct window {
    std::uint64_t context = 0;
    std::uint64_t completion = 0;
  };

  std::map<std::string, window, std::less<>> windows_;
};

}  // namespace sluice::simulator
