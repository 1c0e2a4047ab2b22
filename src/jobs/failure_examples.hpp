#pragma once

#include <map>
#include <string>

namespace sluice {

/// For each kind of failure, by its name in the totals: the message of the first such line in the
/// errors file. A line that a run is still writing is skipped. Throws fatal_error if the file
/// cannot be read.
std::map<std::string, std::string> failure_examples(const std::string& errors_path);

}  // namespace sluice
