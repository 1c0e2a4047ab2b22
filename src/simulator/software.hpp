// The relay software that the simulator imitates on the account, model and site routes. Inference
// is the same for all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::simulator {

enum class software : std::uint8_t {
  /// "new-api": the newest version. Has rate-limited routes for a single key, and does not say why
  /// it refuses a key.
  new_api,
  old_new_api,  ///< "old-new-api": of early 2025; its model list has no `object`
  one_api,      ///< "one-api": only billing, no log for a key
  openai,       ///< "openai": OpenAI's former dashboard, with daily costs and credit grants
  api2gpt,      ///< "api2gpt": only credit grants, with a `total_remaining`
};

/// Empty for an unknown name.
std::optional<software> parse_software(std::string_view name);

}  // namespace sluice::simulator
