// What software the relay passes for where it is asked about accounts, models and itself. Inference
// is the same with all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::simulator {

enum class software : std::uint8_t {
  new_api,      ///< "new-api": newest; has a route for a key alone, rationed, and hides why a key
                ///< is refused
  old_new_api,  ///< "old-new-api": as of early 2025; its model list has no `object`
  one_api,      ///< "one-api": billing alone, and no log for a key
  openai,       ///< "openai": as OpenAI's own dashboard was, with daily costs and credit grants
  api2gpt,      ///< "api2gpt": credit grants alone, with a `total_remaining`
};

/// Empty for a name that is none of them.
std::optional<software> parse_software(std::string_view name);

}  // namespace sluice::simulator
