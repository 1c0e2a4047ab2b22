#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/batch_record.hpp"

namespace sluice::store {

// Converts parts of a record to and from JSON text. A reader returns nothing if the writer did not
// make the text. Pure.

std::string metadata_text(const std::map<std::string, std::string>& metadata);
std::optional<std::map<std::string, std::string>> read_metadata(std::string_view text);

std::string errors_text(const std::vector<batch_error>& errors);
std::optional<std::vector<batch_error>> read_errors(std::string_view text);

}  // namespace sluice::store
