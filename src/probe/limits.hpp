#pragma once

#include <string>
#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Sentences for the reader about what the verdict does not show. Pure.
std::vector<std::string> limits_of(const evidence& found, const report& made);

}  // namespace sluice::probe
