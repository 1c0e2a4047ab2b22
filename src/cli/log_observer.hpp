#pragma once

#include "sluice/observer.hpp"

namespace sluice::cli {

/// Writes what it hears to the program's log, with the name of the run that speaks, where it has
/// one. From any thread.
observer& log_observer();

}  // namespace sluice::cli
