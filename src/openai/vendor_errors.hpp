#pragma once

#include <string_view>

namespace sluice::openai {

/// Whether a finish reason says that the reply broke off: the model was not done, and the same
/// request may end well the next time. Compared without regard to case, `-` as `_`. Pure.
bool is_broken_off(std::string_view finish_reason);

}  // namespace sluice::openai
