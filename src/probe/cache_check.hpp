#pragma once

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Whether the relay reports that the repeated beginnings of prompts were read from a cache, and
/// bills them at the lower price. Pure.
check cache_check(const evidence& found);

}  // namespace sluice::probe
