#pragma once

#include <string>
#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// What the verdict does not show, as sentences for the reader. Pure.
std::vector<std::string> limits_of(const evidence& found, const report& made);

}  // namespace sluice::probe
