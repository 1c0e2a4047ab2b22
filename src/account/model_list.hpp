#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::account {

/// One model that a relay offers.
struct offered_model {
  std::string id;
  std::optional<std::string> owned_by;
};

/// Reads GET /v1/models in each of its shapes: OpenAI's list, with or without its `object`, and a
/// bare array, of objects or of names. In the relay's order, each model once. Nothing when the body
/// is no such list: an error, with whatever status, or a page.
std::optional<std::vector<offered_model>> read_model_list(std::string_view body);

}  // namespace sluice::account
