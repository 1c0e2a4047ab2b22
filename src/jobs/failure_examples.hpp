#pragma once

#include <map>
#include <string>

namespace sluice {

/// What failed, in the words of the first such line of an errors file, by the name the totals count
/// it under. A line that a run is about to write is passed over. Throws fatal_error when the file
/// cannot be read.
std::map<std::string, std::string> failure_examples(const std::string& errors_path);

}  // namespace sluice
