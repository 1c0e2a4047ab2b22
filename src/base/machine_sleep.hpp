#pragma once

#include <chrono>

namespace sluice {

/// Total time that the machine has been asleep since it was started. The steady clock stands still
/// meanwhile. `known`: an earlier result or zero; the result is never less. `steady`: the time of
/// the steady clock just before the call. Thread safe.
std::chrono::nanoseconds machine_slept(std::chrono::nanoseconds known,
                                       std::chrono::steady_clock::time_point steady) noexcept;

}  // namespace sluice
