#pragma once

#include <chrono>

namespace sluice {

/// Total time that the machine has been asleep since it was started. The steady clock stands still
/// meanwhile. The result is never less than `known`, an earlier result or zero. Thread safe.
std::chrono::nanoseconds machine_slept(std::chrono::nanoseconds known) noexcept;

}  // namespace sluice
