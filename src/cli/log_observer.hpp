#pragma once

#include "sluice/observer.hpp"

namespace sluice::cli {

/// The observer that writes every notice to the log of the program. If the notice has the name of a
/// run, the name comes first. Safe to use from any thread.
observer& log_observer();

}  // namespace sluice::cli
