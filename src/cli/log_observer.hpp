#pragma once

#include "sluice/observer.hpp"

namespace sluice::cli {

/// The observer that writes every notice to the log of the program, after the name of its run where
/// it has one. Safe to use from any thread.
observer& log_observer();

}  // namespace sluice::cli
