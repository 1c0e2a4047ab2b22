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

/// Reads the answer to GET /v1/models in all its formats: OpenAI's list, with or without its
/// `object`, and a bare array, of objects or of names. The result is in the relay's order, with
/// each model once. nullopt: the body is not such a list, but for example an error (with any
/// status) or a web page.
std::optional<std::vector<offered_model>> read_model_list(std::string_view body);

}  // namespace sluice::account
